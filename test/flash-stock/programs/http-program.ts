import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { json } from 'node:stream/consumers'
import pg from 'pg'
import { PostcommitError } from 'postcommit'
import { type Barrier, barrierFrom } from 'postcommit/barrier'
import type { Purchase } from '../schema.ts'

/** What a route answers: a status, and what goes with it. */
export type Answer = number | { readonly status: number; readonly body: unknown }

type Route = (request: IncomingMessage, response: ServerResponse) => Promise<Answer | undefined>

/** All of them come at once. */
const BACKLOG = 4096

/** Serves routes on 127.0.0.1 and says so; undefined as an answer: the route has answered itself. */
export function serve(port: string | undefined, routes: Readonly<Record<string, Route>>): void {
  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const route = routes[request.url ?? '']
    const answered = route === undefined ? 404 : await route(request, response)
    if (answered === undefined) return
    const { status, body } = typeof answered === 'number' ? { status: answered, body: undefined } : answered
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body ?? {}))
  }
  const server = createServer((request, response) => {
    answer(request, response).catch((error: unknown) => {
      console.warn(error)
      if (response.headersSent) response.destroy()
      else response.writeHead(500).end()
    })
  })
  server.listen({ port: Number(port), host: '127.0.0.1', backlog: BACKLOG }, () => console.log('ready'))
  process.once('SIGTERM', () => process.exit(0))
}

/** A route that reads a purchase. */
export function purchasing(answer: (purchase: Purchase) => Promise<Answer>): Route {
  return async (request) => answer((await json(request)) as Purchase)
}

/** There is not enough. */
export class SoldOut extends Error {}

/** A branch of a saga: what it does, it does in the transaction of its barrier. */
export function branch(
  pool: pg.Pool,
  work: (tx: pg.PoolClient, purchase: Purchase, barrier: Barrier) => Promise<unknown>,
): Route {
  return async (request) => {
    try {
      const purchase = (await json(request)) as Purchase
      const barrier = barrierFrom(request)
      await barrier.call(pool, (tx) => work(tx, purchase, barrier))
      return 200
    } catch (error) {
      if (error instanceof SoldOut) return 409
      if (error instanceof PostcommitError && error.code === 'POSTCOMMIT_BRANCH_IN_PROGRESS') return 425
      throw error
    }
  }
}

/** The database of a service. */
export function openPool(url: string | undefined): pg.Pool {
  const pool = new pg.Pool({ connectionString: url, max: 16 })
  pool.on('error', (error) => console.warn(`an idle connection was lost: ${error.message}`))
  return pool
}
