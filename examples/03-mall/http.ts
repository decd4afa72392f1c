/** As much of a web framework as the services of the mall need. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { json } from 'node:stream/consumers'

/** What `node:http` calls with a request. */
export type Listener = (request: IncomingMessage, response: ServerResponse) => void

/** What is asked: the parameters of the query, the headers, and the body as JSON. */
export interface Asked {
  readonly query: URLSearchParams
  readonly headers: IncomingMessage['headers']
  readonly body: unknown
}

/** What is answered, as JSON. */
export interface Answered {
  readonly status: number
  readonly body: unknown
}

/** A route that is asked and answers in JSON. */
export function answering(answer: (asked: Asked) => Answered | Promise<Answered>): Listener {
  return (request, response) => {
    const query = new URL(request.url ?? '', 'http://mall').searchParams
    const asked = request.method === 'GET' ? Promise.resolve(undefined) : json(request)
    asked
      .then((body) => answer({ query, headers: request.headers, body }))
      .catch((error: unknown) => {
        console.warn(error)
        return { status: 500, body: { error: 'it is in the log' } }
      })
      .then(({ status, body }) => {
        response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
      })
      .catch((error: unknown) => response.destroy(error instanceof Error ? error : undefined))
  }
}

/** Serves routes such as `'POST /create'` on the port of the environment, until SIGTERM. */
export function listen(routes: Readonly<Record<string, Listener>>, close: () => Promise<unknown>): void {
  const server = createServer((request, response) => {
    const [path = ''] = (request.url ?? '').split('?')
    const route = routes[`${request.method} ${path}`]
    if (route === undefined) response.writeHead(404).end()
    else route(request, response)
  })
  server.listen(Number(process.env['PORT']), '127.0.0.1', () => console.log('ready'))
  process.once('SIGTERM', () => {
    server.close(() => void close())
    server.closeIdleConnections()
  })
}
