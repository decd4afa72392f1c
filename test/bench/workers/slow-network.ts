/**
 * A network between a service and its database: what either side sends arrives a little later, in order. Timers of
 * Node.js are too coarse for half a millisecond, so this process looks at the clock for as long as something is under way.
 */
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { serve } from '../serve.ts'

/** Where it leads, and how long each way takes. */
export interface SlowNetworkConfig {
  readonly host: string
  readonly port: number
  readonly delayMs: number
}

export type SlowNetworkCommands = {
  port(): number
  /** How often clients have sent something so far: what leaves together counts once. */
  sent(): number
}

interface UnderWay {
  readonly dueAt: number
  readonly arrive: () => void
}

serve<SlowNetworkConfig, SlowNetworkCommands>(async ({ host, port, delayMs }) => {
  /** In the order in which it is due, because all of it takes the same time. */
  const underWay: UnderWay[] = []
  const sockets = new Set<Socket>()
  let isLooking = false
  let sent = 0

  function look(): void {
    const now = performance.now()
    for (let next = underWay[0]; next !== undefined && next.dueAt <= now; next = underWay[0]) {
      underWay.shift()
      next.arrive()
    }
    isLooking = underWay.length > 0
    if (isLooking) setImmediate(look)
  }
  function later(arrive: () => void): void {
    underWay.push({ dueAt: performance.now() + delayMs, arrive })
    if (isLooking) return
    isLooking = true
    setImmediate(look)
  }
  function lead(from: Socket, to: Socket): void {
    sockets.add(from)
    from.on('data', (chunk) => later(() => to.write(chunk)))
    from.on('end', () => later(() => to.end()))
    from.on('error', () => to.destroy())
    from.on('close', () => sockets.delete(from))
  }

  const listener = createServer({ noDelay: true, allowHalfOpen: true }, (client) => {
    const server = connect({ host, port, noDelay: true, allowHalfOpen: true })
    client.on('data', () => {
      sent += 1
    })
    lead(client, server)
    lead(server, client)
  })
  listener.listen(0, '127.0.0.1')
  await once(listener, 'listening')
  const address = listener.address() as AddressInfo
  return {
    commands: { port: () => address.port, sent: () => sent },
    async close() {
      listener.close()
      for (const socket of sockets) socket.destroy()
    },
  }
})
