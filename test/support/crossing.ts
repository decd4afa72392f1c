import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'

/** A request that has come to a crossing. */
export interface CrossingCall {
  readonly method: string
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: Buffer
  /** As the header of the relay says; empty for other callers. */
  readonly gid: string
}

/** An HTTP proxy on 127.0.0.1 between a service and its callers, which holds, repeats or diverts what passes it. */
export interface Crossing {
  readonly url: string
  /** Where it leads. */
  target: string
  /** How often a request is delivered, all of them at once; the caller gets the answer to the first. */
  copies: number
  /** Awaited before a request is delivered. */
  before: (call: CrossingCall) => unknown
  /** Everything that has come, oldest first. */
  readonly calls: readonly CrossingCall[]
  /** Delivers a request of before once more, and resolves to the status of its answer. */
  again(call: CrossingCall): Promise<number>
  close(): Promise<void>
}

/** Opens one that delivers everything once, at once. */
export async function openCrossing(target: string): Promise<Crossing> {
  const calls: CrossingCall[] = []
  const deliver = async ({ method, path, headers, body }: CrossingCall) => {
    const answer = await fetch(crossing.target + path, { method, headers, body: method === 'GET' ? null : body })
    return { status: answer.status, text: await answer.text() }
  }
  const server = createServer((request, response) => {
    const { method = '', url: path = '' } = request
    buffer(request)
      .then(async (body) => {
        const call = { method, path, headers: passedOn(request.headers), body, gid: gidOf(request.headers) }
        calls.push(call)
        await crossing.before(call)
        const [first] = await Promise.all(Array.from({ length: crossing.copies }, () => deliver(call)))
        response.writeHead(first?.status ?? 502, { 'content-type': 'application/json' }).end(first?.text)
      })
      .catch(() => response.destroy())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const crossing: Crossing = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    target,
    copies: 1,
    before: () => undefined,
    calls,
    again: async (call) => (await deliver(call)).status,
    async close() {
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    },
  }
  return crossing
}

const OF_THE_CONNECTION = new Set(['host', 'connection', 'content-length', 'transfer-encoding', 'keep-alive'])

function passedOn(headers: IncomingHttpHeaders): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).flatMap(([name, value]) =>
      typeof value === 'string' && !OF_THE_CONNECTION.has(name) ? [[name, value] as const] : [],
    ),
  )
}

function gidOf(headers: IncomingHttpHeaders): string {
  const gid = headers['postcommit-gid']
  return typeof gid === 'string' ? gid : ''
}
