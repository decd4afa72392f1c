import { createMetrics, createRelay, type Relay, type RelayOptions } from '@postcommit/relay'
import pg from 'pg'
import { type Logger, pino } from 'pino'
import { drawApiKey, SCOPES, type Scope } from '../../relay/api/api-key.ts'
import { type Api, type ApiOptions, startApi } from '../../relay/api/server.ts'
import { insertApiKey } from '../../relay/store/api-key/insert-api-key.ts'
import { NO_ADDRESSES } from './coordinators.ts'

/** An answer of the API. */
export interface ApiAnswer {
  readonly status: number
  readonly headers: Headers
  // biome-ignore lint/suspicious/noExplicitAny: a test says what it expects of it
  readonly body: any
}

/** What a request has besides its address. */
export interface ApiRequest {
  /** Default: the key of everything. `''`: none. */
  readonly key?: string
  /** Sent as it is if it is text, else as JSON. */
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
}

/** A relay with its API, on a database of its own. */
export interface TestApi {
  readonly url: string
  readonly api: Api
  readonly relay: Relay
  readonly pool: pg.Pool
  readonly logged: string[]
  /** Makes a key; without scopes, one for everything. */
  key(given?: {
    readonly scopes?: readonly Scope[]
    readonly tenant?: string
    readonly expiresInMs?: number
  }): Promise<string>
  request(method: string, path: string, request?: ApiRequest): Promise<ApiAnswer>
  [Symbol.asyncDispose](): Promise<void>
}

/** Starts both. */
export async function testApi(
  databaseUrl: string,
  options: Partial<RelayOptions> = {},
  given: Partial<ApiOptions> = {},
): Promise<TestApi> {
  const logged: string[] = []
  const log: Logger = pino({ level: 'debug' }, { write: (line) => logged.push(line) })
  const metrics = createMetrics()
  const relay = createRelay({
    databases: { main: databaseUrl },
    coordinator: { database: 'main', checkAfterMs: 60_000 },
    log,
    metrics,
    drainMs: 500,
    ...options,
  })
  await relay.start()
  const pool = new pg.Pool({ connectionString: databaseUrl, max: 4 })
  pool.on('error', () => undefined)
  const transactions = () => relay.transactions
  const sources = [{ source: 'main', pool }]
  const broker = () => relay.health().nats
  const api = await startApi(
    { port: 0, ...given },
    { pool, sources, broker, transactions, targets: NO_ADDRESSES, metrics, log },
  )

  const key: TestApi['key'] = async ({ scopes = SCOPES, tenant = '', expiresInMs } = {}) => {
    const { id, digest, text } = drawApiKey()
    await insertApiKey(pool, { id, digest, tenant, scopes, label: 'test', expiresInMs })
    return text
  }
  const ownKey = await key()
  return {
    url: api.url,
    api,
    relay,
    pool,
    logged,
    key,
    request: (method, path, request = {}) => ask(api.url + path, method, { key: ownKey, ...request }),
    async [Symbol.asyncDispose]() {
      api.drain()
      await relay.stop()
      await api.close()
      await pool.end()
    },
  }
}

async function ask(url: string, method: string, { key = '', body, headers = {} }: ApiRequest): Promise<ApiAnswer> {
  const response = await fetch(url, {
    method,
    headers: {
      ...(key !== '' && { authorization: `Bearer ${key}` }),
      ...(body !== undefined && { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  })
  const text = await response.text()
  return { status: response.status, headers: response.headers, body: text === '' ? undefined : JSON.parse(text) }
}
