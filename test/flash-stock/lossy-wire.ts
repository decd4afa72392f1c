import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { Pool } from 'undici'

/** How unreliable the way to a service is. */
export interface LossyWireOptions {
  /** In [0, 1): of how many answers nothing is heard, although the service has given them. */
  readonly dropped: number
  /** In [0, 1): how many requests arrive a second time, a little later. */
  readonly doubled: number
  readonly random: () => number
}

/** The way to a service. */
export interface LossyWire {
  readonly url: string
  readonly dropped: number
  readonly doubled: number
  [Symbol.asyncDispose](): Promise<void>
}

const LATER_MS_MAX = 500

/** Puts an HTTP proxy in front of the service at `target`: every request reaches it, not every answer comes back. */
export async function lossyWire(target: string, options: LossyWireOptions): Promise<LossyWire> {
  const { random } = options
  const pool = new Pool(target, { connections: 64, pipelining: 1 })
  const late = new Set<Promise<unknown>>()
  const counts = { dropped: 0, doubled: 0 }
  const pass = async (request: IncomingMessage, body: Buffer) => {
    const { connection: _, 'transfer-encoding': __, host: ___, ...headers } = request.headers
    const { method = 'POST', url: path = '/' } = request
    const answer = await pool.request({ method: method as 'POST', path, headers, body })
    return { status: answer.statusCode, body: await answer.body.text() }
  }
  const handle = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const body = await buffer(request)
    if (random() < options.doubled) {
      counts.doubled += 1
      const again = sleep(random() * LATER_MS_MAX)
        .then(() => pass(request, body))
        .catch(() => undefined)
        .finally(() => late.delete(again))
      late.add(again)
    }
    const answer = await pass(request, body)
    if (random() < options.dropped) {
      counts.dropped += 1
      response.destroy()
    } else response.writeHead(answer.status).end(answer.body)
  }
  const server = createServer((request, response) => {
    handle(request, response).catch(() => response.destroy())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    get dropped() {
      return counts.dropped
    },
    get doubled() {
      return counts.doubled
    },
    async [Symbol.asyncDispose]() {
      server.close()
      server.closeAllConnections()
      await Promise.allSettled(late)
      await pool.destroy()
    },
  }
}
