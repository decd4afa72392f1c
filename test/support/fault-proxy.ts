import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { pump, untilPassable } from './fault-pump.ts'
import { createFaultRules, type Direction, type FaultRules } from './fault-rules.ts'

/** Where the connections of a {@link FaultProxy} lead. */
export interface FaultProxyOptions {
  readonly target: { readonly host: string; readonly port: number }
}

/** What has passed a {@link FaultProxy} so far. */
interface FaultProxyStats {
  readonly connections: number
  readonly open: number
  readonly bytes: Readonly<Record<Direction, number>>
}

/** A TCP proxy on 127.0.0.1 that can do to connections what networks do. */
export interface FaultProxy extends Omit<FaultRules, 'triggered' | 'isHeld' | 'delayMs' | 'transferMs' | 'sliceBytes'> {
  readonly host: string
  readonly port: number
  /** The same URL with the proxy's host and port in it. */
  through(url: string): string
  /** Ends every connection, by RST (default) or by FIN. */
  cutAll(how?: 'rst' | 'fin'): void
  /** One end of every connection is gone, and the other end is not told: what a machine leaves that loses its power. */
  halfOpen(gone: 'client' | 'server'): void
  /** New connections get ECONNREFUSED; those that exist stay. */
  refuseNew(): void
  acceptNew(): Promise<void>
  stats(): FaultProxyStats
  close(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

const HOST = '127.0.0.1'

interface Link {
  readonly client: Socket
  readonly server: Socket
}

/** Starts a proxy that passes everything on unchanged until it is told otherwise. */
export async function createFaultProxy({ target }: FaultProxyOptions): Promise<FaultProxy> {
  const rules = createFaultRules()
  const links = new Set<Link>()
  const bytes = { up: 0, down: 0 }
  let connections = 0

  const listener = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
    const server = connect({ ...target, allowHalfOpen: true, noDelay: true })
    const link = { client, server }
    connections += 1
    links.add(link)
    const cut = () => cutLink(link)
    for (const [socket, peer, direction] of [
      [client, server, 'up'],
      [server, client, 'down'],
    ] as const) {
      // One side that breaks breaks the other: the proxy must not be kinder than the network. Nor more talkative:
      // that it broke travels as everything else does.
      socket.on('error', () => void untilPassable(rules, direction, peer).then(cut))
      socket.on('close', () => {
        if (client.destroyed && server.destroyed) links.delete(link)
      })
    }
    const count = (direction: Direction) => (length: number) => {
      bytes[direction] += length
    }
    pump({ from: client, to: server, direction: 'up', rules, link, cut, count: count('up') })
    pump({ from: server, to: client, direction: 'down', rules, link, cut, count: count('down') })
  })
  const port = await listen(listener, 0)
  const close = async () => {
    rules.heal()
    for (const link of links) cutLink(link)
    if (!listener.listening) return
    listener.close()
    await once(listener, 'close')
  }

  return {
    host: HOST,
    port,
    ...rules,
    through: (url) => {
      const proxied = new URL(url)
      proxied.host = `${HOST}:${port}`
      return proxied.href
    },
    cutAll: (how = 'rst') => {
      for (const link of links) {
        if (how === 'rst') cutLink(link)
        else for (const socket of [link.client, link.server]) socket.end()
      }
    },
    halfOpen: (gone) => {
      for (const link of links) cutSocket(link[gone])
    },
    refuseNew: () => {
      if (listener.listening) listener.close()
    },
    acceptNew: async () => {
      if (!listener.listening) await listen(listener, port)
    },
    stats: () => ({ connections, open: links.size, bytes: { ...bytes } }),
    close,
    [Symbol.asyncDispose]: close,
  }
}

function cutLink({ client, server }: Link): void {
  for (const socket of [client, server]) cutSocket(socket)
}

/**
 * A socket that is about to say that it ends cannot be reset: Node.js answers EINVAL, never closes it, and at its own
 * end waits for it for ever.
 */
function cutSocket(socket: Socket): void {
  const isEnding = socket.writableEnded && !socket.writableFinished
  if (socket.connecting || isEnding) socket.destroy()
  else if (!socket.destroyed) socket.resetAndDestroy()
}

async function listen(listener: Server, port: number): Promise<number> {
  listener.listen({ port, host: HOST })
  await once(listener, 'listening')
  return (listener.address() as AddressInfo).port
}
