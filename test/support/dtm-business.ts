import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type pg from 'pg'
import { barrierFrom } from 'postcommit/barrier'

/** What a handler comes to: DTM's words, or an error that is to be repeated. */
type Result = '' | 'SUCCESS' | 'FAILURE' | 'ONGOING' | 'ERROR'

/** A value for the next call that asks for it, and for no other. */
class Switch<T extends string> {
  #value: T | '' = ''

  setOnce(value: T): void {
    this.#value = value
  }

  fetch(): T | '' {
    const value = this.#value
    this.#value = ''
    return value
  }
}

/** A call that the service has received. */
export interface BusinessCall {
  readonly method: string
  readonly path: string
  readonly query: URLSearchParams
  readonly headers: IncomingMessage['headers']
  readonly body: string
}

/** The service that DTM's tests call, with its switches. */
export interface DtmBusiness {
  readonly origin: string
  /** With the prefix of its routes. */
  readonly url: string
  /** Where a method of it is called by JSON-RPC. */
  readonly method: (name: string) => string
  readonly switches: {
    readonly transIn: Switch<Result>
    readonly transOut: Switch<Result>
    readonly transInRevert: Switch<Result>
    readonly transOutRevert: Switch<Result>
    readonly queryPrepared: Switch<Result>
    /** The whole text of the next answer to a back-query, with 200 unless the next switch says otherwise. */
    readonly queryPreparedText: Switch<string>
    readonly queryPreparedStatus: Switch<'409' | '500'>
    readonly failureReason: Switch<string>
  }
  readonly calls: BusinessCall[]
  /** The names of the routes that were called, in turn. */
  readonly names: () => string[]
  readonly alerts: Record<string, unknown>[]
  readonly close: () => Promise<void>
}

const PREFIX = '/api/busi'
const JSON_RPC = '/api/json-rpc'

/** What a route does; undefined: done. */
type Route = (call: BusinessCall) => Promise<Outcome> | Outcome
interface Outcome {
  readonly result?: Result
  readonly reason?: string
  readonly text?: string
  readonly status?: number
}

/**
 * Starts the service. With a database, its balances are changed behind barriers: a table `account (id, balance)`.
 */
export async function dtmBusiness(db?: pg.Pool): Promise<DtmBusiness> {
  const switches: DtmBusiness['switches'] = {
    transIn: new Switch(),
    transOut: new Switch(),
    transInRevert: new Switch(),
    transOutRevert: new Switch(),
    queryPrepared: new Switch(),
    queryPreparedText: new Switch(),
    queryPreparedStatus: new Switch(),
    failureReason: new Switch(),
  }
  const calls: BusinessCall[] = []
  const alerts: Record<string, unknown>[] = []
  const routes = { ...plainRoutes(switches, alerts), ...(db && barrierRoutes(db)) }
  const receive = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const { pathname, searchParams: query } = new URL(request.url ?? '/', 'http://127.0.0.1')
    const body = Buffer.concat(chunks).toString()
    const call = { method: request.method ?? '', path: request.url ?? '', query, headers: request.headers, body }
    calls.push(call)
    if (pathname === JSON_RPC) {
      response.writeHead(200, { 'content-type': 'application/json' }).end(await answerMethod(call, routes))
      return
    }
    const route: Route | undefined = routes[pathname.slice(PREFIX.length + 1)]
    const outcome = route === undefined ? { result: 'ERROR' as const } : await route(call)
    const { status, text } = answerOf(outcome)
    response.writeHead(status, { 'content-type': 'application/json' }).end(text)
  }
  const server = createServer((request, response) => {
    receive(request, response).catch(() => response.destroy())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return {
    origin,
    url: origin + PREFIX,
    method: (name) => `${origin}${JSON_RPC}?method=${name}`,
    switches,
    calls,
    names: () => calls.map(({ path }) => new URL(path, origin).pathname.slice(PREFIX.length + 1)),
    alerts,
    async close() {
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    },
  }
}

/** A method is the route of its name, with the parameters as its body and the branch in its query. */
async function answerMethod(call: BusinessCall, routes: Record<string, Route>): Promise<string> {
  const { id, method, params } = JSON.parse(call.body) as {
    id: string
    method: string
    params: Record<string, string>
  }
  const names = Object.entries(params).filter(([name]) => ['gid', 'trans_type', 'branch_id', 'op'].includes(name))
  const query = new URLSearchParams(names)
  // As libraries answer for a method that returns nothing.
  if (method === 'NoResult') return JSON.stringify({ error: null, id, jsonrpc: '2.0' })
  const outcome = await routes[method]?.({ ...call, path: `/${method}?${query}`, query, body: JSON.stringify(params) })
  const { status, text } = answerOf(outcome ?? { result: 'ERROR' })
  const code = { 409: -32901, 425: -32902, 500: -32603 }[status]
  const said = JSON.parse(text) as { message?: string }
  const error = code === undefined ? null : { code, message: said.message ?? '' }
  return JSON.stringify({ jsonrpc: '2.0', id, error, result: code === undefined ? said : null })
}

function answerOf({ result = 'SUCCESS', reason, text, status = 200 }: Outcome) {
  if (text !== undefined) return { status, text }
  const message = reason ?? result
  switch (result) {
    case 'FAILURE':
      return { status: 409, text: JSON.stringify({ dtm_result: result, message }) }
    case 'ONGOING':
      return { status: 425, text: JSON.stringify({ dtm_result: result, message }) }
    case 'ERROR':
      return { status: 500, text: JSON.stringify({ message: 'something went wrong' }) }
    case '':
    case 'SUCCESS':
      return { status: 200, text: JSON.stringify({ dtm_result: 'SUCCESS' }) }
  }
}

function plainRoutes(switches: DtmBusiness['switches'], alerts: Record<string, unknown>[]): Record<string, Route> {
  const business = (result: Switch<Result>, said: 'transInResult' | 'transOutResult' | undefined): Route => {
    return ({ body }) => {
      const asked = said === undefined || body === '' ? '' : (JSON.parse(body) as Record<string, Result>)[said]
      const outcome = result.fetch() || asked || 'SUCCESS'
      return outcome === 'FAILURE'
        ? { result: outcome, reason: switches.failureReason.fetch() || 'FAILURE' }
        : { result: outcome }
    }
  }
  const transOut = business(switches.transOut, 'transOutResult')
  let retries = 3
  return {
    TransIn: business(switches.transIn, 'transInResult'),
    TransOut: transOut,
    TransInRevert: business(switches.transInRevert, undefined),
    TransOutRevert: business(switches.transOutRevert, undefined),
    QueryPrepared: () => {
      const text = switches.queryPreparedText.fetch()
      const status = Number(switches.queryPreparedStatus.fetch() || 200)
      return text === '' ? { result: switches.queryPrepared.fetch() || 'SUCCESS' } : { text, status }
    },
    TransOutHeaderYes: (call) => (call.headers['test_header'] === undefined ? { result: 'ERROR' } : transOut(call)),
    TransOutTimeout: async (call) => {
      await sleep(3500)
      return await transOut(call)
    },
    TransInRetry: () => {
      retries = retries === 0 ? 3 : retries - 1
      return { result: retries === 3 ? 'SUCCESS' : 'ERROR' }
    },
    AlertWebHook: ({ body }) => {
      const alert = JSON.parse(body) as Record<string, unknown>
      alerts.push(alert)
      return { result: String(alert['gid']).includes('Error') ? 'ERROR' : 'SUCCESS' }
    },
  }
}

function barrierRoutes(db: pg.Pool): Record<string, Route> {
  const adjust = async (tx: pg.PoolClient, id: string, by: number): Promise<void> => {
    await tx.query('update account set balance = balance + $2 where id = $1', [id, by])
  }
  const once = (id: string, sign: number, said?: string): Route => {
    return async (call) => {
      const request = JSON.parse(call.body) as { amount: number } & Record<string, unknown>
      if (said !== undefined && request[said] === 'FAILURE') return { result: 'FAILURE' }
      await barrierFrom({ url: call.path }).call(db, (tx) => adjust(tx, id, sign * request.amount))
      return {}
    }
  }
  const twice = (sign: number): Route => {
    return async (call) => {
      const { amount } = JSON.parse(call.body) as { amount: number }
      const barrier = barrierFrom({ url: call.path })
      for (const id of ['first', 'second'])
        await barrier.call(db, (tx) => adjust(tx, 'in', (sign * amount) / 2), { id })
      return {}
    }
  }
  return {
    SagaBTransOut: once('out', -1, 'transOutResult'),
    SagaBTransOutCom: once('out', 1),
    SagaBTransIn: once('in', 1, 'transInResult'),
    SagaBTransInCom: once('in', -1),
    SagaB2TransIn: twice(1),
    SagaB2TransInCom: twice(-1),
    QueryPreparedB: async ({ query }) => ({ result: await queryPreparedByDtm(db, query.get('gid') ?? '') }),
  }
}

/** The row that a client of DTM writes into its local transaction; 0: it was there already. */
export async function insertMessageRow(tx: Pick<pg.PoolClient, 'query'>, gid: string, reason: string): Promise<number> {
  const { rowCount } = await tx.query(
    `insert into dtm_barrier (gid, branch_id, op, barrier_id, reason) values ($1, '00', 'msg', '01', $2)
on conflict (gid, branch_id, op, barrier_id) do nothing`,
    [gid, reason],
  )
  return rowCount ?? 0
}

/** How DTM's clients answer a back-query: close the door, then look who did. */
async function queryPreparedByDtm(db: pg.Pool, gid: string): Promise<Result> {
  await insertMessageRow(db, gid, 'rollback')
  const { rows } = await db.query<{ reason: string }>('select reason from dtm_barrier where gid = $1', [gid])
  return rows[0]?.reason === 'rollback' ? 'FAILURE' : 'SUCCESS'
}

/** What {@link dtmBusiness} keeps in its database. */
export const BUSINESS_TABLES = `create table account (id text primary key, balance integer not null);
insert into account values ('out', 10000), ('in', 10000);
create table dtm_barrier (gid text, branch_id text, op text, barrier_id text, reason text,
  primary key (gid, branch_id, op, barrier_id))`
