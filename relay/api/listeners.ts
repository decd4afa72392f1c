import pg from 'pg'
import type { Logger } from 'pino'
import type { TargetRules } from '../coordinator/intake/target-rules.ts'
import type { ServedTransactions } from '../coordinator/serve-transactions.ts'
import type { AddressRules } from '../destinations/address-rules.ts'
import type { Listening } from '../http/http-server.ts'
import type { Metrics } from '../observe/metrics.ts'
import type { ReadableSource } from '../operators/readable-source.ts'
import type { SessionConfig } from '../postgres/sessions.ts'
import type { DtmOptions } from './dtm/dtm-server.ts'
import { type BrokerState, QUERY_MS } from './operated.ts'
import type { Api, ApiOptions } from './server.ts'

/** Where a relay can be asked; undefined: it was not told to serve that. */
export interface RelayAddresses {
  /** Of the relay's own API, for `createRelayClient`. */
  readonly api: string | undefined
  /** Of DTM's protocol; its clients append `/api/dtmsvr`. */
  readonly dtm: string | undefined
}

/** What the servers of a relay work with. */
export interface ListenersOptions {
  readonly api: ApiOptions | undefined
  readonly dtm: DtmOptions | undefined
  /** The database of the transactions. */
  readonly database: SessionConfig
  /** All source databases by name, for what operators look at and do. */
  readonly databases: Readonly<Record<string, SessionConfig>>
  readonly broker: () => BrokerState
  readonly addresses: AddressRules
  readonly targets: TargetRules
  /** Undefined while they are not there yet. */
  readonly transactions: () => ServedTransactions | undefined
  readonly metrics: Metrics
  readonly log: Logger
}

const CONNECTIONS_MAX = 4
const CONNECT_TIMEOUT_MS = 5000
const STATEMENT_TIMEOUT_MS = 30_000
/** Of each source database: one for what is watched, the others for what is asked. */
const SOURCE_CONNECTIONS_MAX = 3
/** The server ends a statement first, and says so. */
const LATE_MS = 2000
const LOCK_TIMEOUT_MS = 5000

/** The servers by which a relay is asked about global transactions. They listen before there is a database. */
export class Listeners {
  readonly #options: ListenersOptions
  #opened: Promise<RelayAddresses> | undefined
  #api: Api | undefined
  #dtm: Listening | undefined
  #pool: pg.Pool | undefined
  #sources: readonly ReadableSource[] = []
  #isDraining = false

  constructor(options: ListenersOptions) {
    this.#options = options
  }

  /**
   * Lets them listen; again: says where they do.
   * @throws `POSTCOMMIT_LISTEN_FAILED`.
   */
  listen(): Promise<RelayAddresses> {
    this.#opened ??= this.#listen()
    return this.#opened
  }

  /** From now on what comes is put off. */
  drain(): void {
    this.#isDraining = true
    this.#api?.drain()
  }

  /** Answers what is under way, for a short time, and ends. */
  async close(): Promise<void> {
    await this.#opened?.catch(() => undefined)
    await Promise.all([this.#api?.close(), this.#dtm?.close()])
    await Promise.all([this.#pool?.end(), ...this.#sources.map(({ pool }) => pool.end())])
    this.#pool = undefined
    this.#sources = []
  }

  async #listen(): Promise<RelayAddresses> {
    const { api, dtm, addresses, targets, databases, broker, transactions, metrics, log } = this.#options
    try {
      // Loaded here, so that a relay that serves neither does not have them in memory.
      if (api !== undefined) {
        const { startApi } = await import('./server.ts')
        const pool = this.#openPool(this.#options.database, CONNECTIONS_MAX, STATEMENT_TIMEOUT_MS)
        this.#pool = pool
        this.#sources = Object.entries(databases).map(([source, database]) => ({
          source,
          pool: this.#openPool(database, SOURCE_CONNECTIONS_MAX, QUERY_MS),
        }))
        const sources = this.#sources
        this.#api = await startApi(api, { pool, sources, broker, transactions, targets, metrics, log })
        log.info({ url: this.#api.url, auth: api.auth ?? 'keys' }, 'serving the API')
      }
      if (dtm !== undefined) {
        const { startDtmServer } = await import('./dtm/dtm-server.ts')
        const { registry } = metrics
        const present = () => (this.#isDraining ? undefined : transactions())
        this.#dtm = await startDtmServer(dtm, { transactions: present, tenant: '', addresses, registry })
        log.info({ url: this.#dtm.url, strict: dtm.strict ?? true }, 'serving the protocol of DTM')
      }
    } catch (error) {
      await Promise.all([this.#api?.close(), this.#dtm?.close()])
      throw error
    }
    return { api: this.#api?.url, dtm: this.#dtm?.url }
  }

  /** For what the API reads and what people do: connections of its own, so that a slow list takes none from the transactions. */
  #openPool(database: SessionConfig, max: number, timeoutMs: number): pg.Pool {
    const { log } = this.#options
    const pool = new pg.Pool({
      ...database,
      max,
      application_name: 'postcommit api',
      connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
      query_timeout: timeoutMs + LATE_MS,
      // What is no longer waited for here must not wait in the server either.
      statement_timeout: timeoutMs,
      lock_timeout: LOCK_TIMEOUT_MS,
    })
    pool.on('error', (error) => log.warn({ error: error.message }, 'an idle connection was lost'))
    pool.on('connect', (client) => client.on('error', () => undefined))
    return pool
  }
}
