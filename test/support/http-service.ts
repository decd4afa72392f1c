import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/** A call as it arrived. */
export interface ReceivedCall {
  readonly method: string
  readonly path: string
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
  /** Monotonic milliseconds. */
  readonly at: number
}

/** What a service does with a call: a status to answer with, or whatever it does to the response itself. */
export type Answer = (call: ReceivedCall, response: ServerResponse, n: number) => number | undefined | Promise<number>

/** An HTTP service on 127.0.0.1 for one test. */
export interface HttpService {
  readonly url: string
  readonly port: number
  /** Every call that has arrived whole, oldest first. */
  readonly calls: readonly ReceivedCall[]
  /** Ends it as kill -9 does: connections are reset, new ones refused. */
  kill(): Promise<void>
  /** Listens again on the same port. */
  restart(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

/** Starts a service that answers as told. */
export async function httpService(answer: Answer = () => 204): Promise<HttpService> {
  const calls: ReceivedCall[] = []
  const receive = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const { method = '', url: path = '', headers } = request
    const call = { method, path, headers, body: Buffer.concat(chunks), at: performance.now() }
    calls.push(call)
    const status = await answer(call, response, calls.length)
    if (status !== undefined) response.writeHead(status).end()
  }
  const open = async (port: number) => {
    const server = createServer((request, response) => {
      receive(request, response).catch(() => response.destroy())
    })
    server.listen(port, '127.0.0.1')
    await once(server, 'listening')
    return server
  }
  let server = await open(0)
  const { port } = server.address() as AddressInfo
  const kill = async (): Promise<void> => {
    if (!server.listening) return
    server.close()
    server.closeAllConnections()
    await once(server, 'close')
  }
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    calls,
    kill,
    async restart() {
      server = await open(port)
    },
    [Symbol.asyncDispose]: kill,
  }
}
