import { hostname } from 'node:os'
import type { NodeConnectionOptions } from '@nats-io/transport-node'
import pg from 'pg'
import { type Logger, pino } from 'pino'
import { isDestinationName, NATS_DESTINATION, PostcommitError } from 'postcommit/protocol'
import type { DtmOptions } from './api/dtm/dtm-server.ts'
import { checkDtmExposure } from './api/dtm/exposure.ts'
import { checkApiExposure } from './api/exposure.ts'
import { Listeners, type ListenersOptions, type RelayAddresses } from './api/listeners.ts'
import type { ApiOptions } from './api/server.ts'
import type { Broker } from './broker/broker.ts'
import { Publishing } from './broker/publishing.ts'
import type { StreamOptions } from './broker/streams.ts'
import { TargetRules } from './coordinator/intake/target-rules.ts'
import type { serveTransactions, Transactions, TransactionsOptions } from './coordinator/serve-transactions.ts'
import { readAddressRules } from './destinations/address-rules.ts'
import type { Destination } from './destinations/destination.ts'
import { Gates } from './destinations/gates.ts'
import { createHandlerDestination, type Handler } from './destinations/handler.ts'
import type { createHttpDestination, HttpDestinationOptions } from './destinations/http.ts'
import { createNatsDestination } from './destinations/nats.ts'
import type { createUrlDestination, UrlDestinationOptions } from './destinations/url.ts'
import { subjectFilterProblem } from './engine/subject-filter.ts'
import { createMetrics, type Metrics } from './observe/metrics.ts'
import type { SessionConfig } from './postgres/sessions.ts'
import { configuredOutboxes, openParked } from './redis-outbox/configured-outboxes.ts'
import type { RedisOutboxSource } from './redis-outbox/serve-redis-outbox.ts'
import { healthOf, type RelayHealth } from './relay-health.ts'
import { type Source, type SourceOptions, serveSource } from './serve-database.ts'
import { RELAY_VERSION } from './version.ts'

/** A source database: a connection string, pg's options, or a Pool whose options are used (not its connections). */
export type SourceDatabase = string | SessionConfig | pg.Pool

/** The broker a relay publishes to. */
export interface NatsOptions {
  /** What `connect` of `@nats-io/transport-node` takes: servers, credentials, TLS, inboxPrefix. */
  readonly connection: NodeConnectionOptions
  readonly streams?: readonly StreamOptions[]
  /** How long an acknowledgement may take, milliseconds, default 2000. */
  readonly ackTimeoutMs?: number
}

/** How a relay coordinates global transactions: two-phase messages and sagas. */
export interface CoordinatorOptions {
  /** The name of the database that holds them; one of those that the relay serves. */
  readonly database: string
  /**
   * Back-query destinations that are answered by SQL instead of a call to the service: the name that messages
   * give as the destination of their back-query, and the name of a database of this relay.
   */
  readonly checks?: Readonly<Record<string, string>>
  /**
   * Subjects on which back-queries may be sent over NATS (`*` and `>` allowed). Without it
   * back-queries never use NATS.
   */
  readonly checkSubjects?: readonly string[]
  /** Which addresses are called that come with a transaction; without it none is, only configured destinations. */
  readonly urls?: UrlDestinationOptions
  /** Whom to tell of branches that fail again and again: by POST, once for every so many attempts, default 3. */
  readonly alerts?: { readonly url: string; readonly everyAttempts?: number }
  /** How long after its prepare a message is asked about unless it says so, milliseconds, default 10000. */
  readonly checkAfterMs?: number
  /** How long an initiator may take unless it says so, milliseconds, default 35000. */
  readonly deadlineMs?: number
}

/** What {@link createRelay} takes. */
export interface RelayOptions {
  /** Shown to other relays and in the audit; default host name and process id. */
  readonly name?: string
  /** The one source database, called `main`. */
  readonly db?: SourceDatabase
  /** Several source databases by name. */
  readonly databases?: Readonly<Record<string, SourceDatabase>>
  /** Without it messages for NATS stay in the log until a relay with a broker comes. */
  readonly nats?: NatsOptions
  /** HTTP destinations by the name that services call them. */
  readonly destinations?: Readonly<Record<string, HttpDestinationOptions>>
  /** Functions of this process, called like destinations. */
  readonly handlers?: Readonly<Record<string, Handler>>
  /** Outboxes in Redis (`redisOutbox` of `postcommit/redis-outbox`) whose entries this relay writes. */
  readonly redisOutboxes?: readonly RedisOutboxSource[]
  /** Without it no global transactions are coordinated. */
  readonly coordinator?: CoordinatorOptions
  /** Serves the relay's own API over the transactions of `coordinator`, for `createRelayClient` of other processes. */
  readonly api?: ApiOptions
  /** Serves the protocol of DTM over the transactions of `coordinator`, to the addresses of its `urls`. It has no authentication. */
  readonly dtm?: DtmOptions
  readonly log?: Logger
  readonly metrics?: Metrics
  /** How long a relay that shows no sign of life keeps what it has, milliseconds, default 10000. */
  readonly leaseMs?: number
  /** How long one claim of a delivery holds, milliseconds, default 60000. */
  readonly claimLeaseMs?: number
  /** How long published and confirmed messages are kept, milliseconds, default 24 h. */
  readonly retentionMs?: number
  /** How long `stop` waits for what is in flight, milliseconds, default 25000. */
  readonly drainMs?: number
  /** How many publishes may be unacknowledged, default 1000. */
  readonly publishesInFlight?: number
}

/** A relay: the daemon runs one, a service may embed one. */
export interface Relay {
  /**
   * Lets the servers of `api` and `dtm` listen, and says where they do; `start` does so too. What they are asked before
   * the databases are being served is put off.
   * @throws `POSTCOMMIT_LISTEN_FAILED`.
   */
  listen(): Promise<RelayAddresses>
  /**
   * Begins to serve; resolves when every source database is being served. It never gives up on a database that is
   * away, so it may wait; `stop` ends the waiting.
   * @throws `POSTCOMMIT_LISTEN_FAILED`.
   */
  start(): Promise<void>
  /** Finishes what is in flight (at most `drainMs`), gives everything back to the other relays, and ends. */
  stop(): Promise<void>
  health(): RelayHealth
  readonly metrics: Metrics
  /** The global transactions that it coordinates; undefined before `start`, and without `coordinator`. */
  readonly transactions: Transactions | undefined
  /** Brings the gauges up to date that only the databases know: backlog, oldest age, dead letters. */
  refreshMetrics(): Promise<void>
}

const LEASE_MS = 10_000
const CLAIM_LEASE_MS = 60_000
const RETENTION_MS = 24 * 60 * 60_000
const DRAIN_MS = 25_000
const PUBLISHES_IN_FLIGHT = 1000
const POLL_MS = { min: 2, max: 250 }
const NATS_CONCURRENCY = 100
const CHECK_AFTER_MS = 10_000
const DEADLINE_MS = 35_000
const ALERT_EVERY = 3
const CHECK_CONNECTIONS = 4
const NATS_BACK_OFF = { baseMs: 500, capMs: 60_000 }

/**
 * Creates a relay. Any number of them may serve the same databases.
 *
 * @throws `POSTCOMMIT_INVALID_OPTIONS`.
 * @example
 * ```ts
 * const relay = createRelay({ db: pool, handlers: { mailer: async ({ content }) => send(JSON.parse(content)) } })
 * await relay.start()
 * process.once('SIGTERM', () => relay.stop())
 * ```
 */
export function createRelay(options: RelayOptions): Relay {
  const log = options.log ?? pino({ level: 'warn' })
  const metrics = options.metrics ?? createMetrics()
  const databases = namedDatabases(options)
  checkCoordinator(options, databases)
  const redisOutboxes = configuredOutboxes(options, databases)
  let publishing: Publishing | undefined
  let sources: readonly Source[] = []
  let destinations: ReadonlyMap<string, Destination> = new Map()
  let checks: ReadonlyMap<string, pg.Pool> = new Map()
  let urls: Destination | undefined
  let stopped: Promise<void> | undefined

  const served = () => sources.find(({ transactions }) => transactions !== undefined)?.transactions
  const broker = () => healthOf([], { configured: options.nats !== undefined, publishing }).nats
  const listeners = openListeners(options, databases, { transactions: served, broker, metrics, log })

  async function stop(): Promise<void> {
    publishing?.giveUp()
    listeners?.drain()
    await Promise.all(sources.map((source) => source.stop(options.drainMs ?? DRAIN_MS)))
    // Whoever waits for the end of a transaction was answered by this.
    await listeners?.close()
    await Promise.all([...destinations.values()].map((destination) => destination.close()))
    await Promise.all([urls?.close(), ...[...checks.values()].map((pool) => pool.end())])
    await publishing?.broker.close()
  }

  const brokerTrouble = () => publishing?.trouble() ?? []
  const listen = async () => (await listeners?.listen()) ?? { api: undefined, dtm: undefined }
  return {
    metrics,
    get transactions() {
      return served()
    },
    listen,
    async start() {
      const [parts] = await Promise.all([loadParts(options), listen()])
      if (stopped !== undefined) return
      const { nats, leaseMs = LEASE_MS } = options
      if (nats !== undefined) publishing = new Publishing({ ...nats, leaseMs, metrics, log })
      destinations = openDestinations(options, parts, publishing?.broker, openParked(redisOutboxes, databases))
      urls = openUrls(options, parts)
      const safeBroker = () => publishing?.safeBroker
      const gates = new Gates({ destinations, urls, metrics, log })
      const watchStreams = (names: readonly string[]) => publishing?.watchStreams(names)
      const shared = { log, metrics, gates, redisOutboxes, broker: safeBroker, watchStreams, brokerTrouble }
      const common = sourceOptions(options, shared)
      checks = openChecks(options, databases, log)
      sources = Object.entries(databases).map(([source, database]) => {
        const transactions = transactionsOf(options, source, { ...parts, checks })
        return serveSource({ ...common, source, database, transactions })
      })
      await Promise.all(sources.map(({ ready }) => ready))
    },
    async refreshMetrics() {
      publishing?.refreshMetrics()
      await Promise.allSettled(sources.map((source) => source.refreshMetrics()))
    },
    stop() {
      stopped ??= stop()
      return stopped
    },
    health: () => healthOf(sources, { configured: options.nats !== undefined, publishing }),
  }
}

/** What only some relays need. */
interface Parts {
  readonly createHttpDestination?: typeof createHttpDestination
  readonly createUrlDestination?: typeof createUrlDestination
  readonly serveTransactions?: typeof serveTransactions
}

/** Loads only what these options need. A relay that only publishes saves 11 of 75 MB. */
async function loadParts({ destinations = {}, coordinator }: RelayOptions): Promise<Parts> {
  const loaded = await Promise.all([
    Object.keys(destinations).length > 0 && import('./destinations/http.ts'),
    coordinator?.urls && import('./destinations/url.ts'),
    coordinator && import('./coordinator/serve-transactions.ts'),
  ])
  return Object.assign({}, ...loaded)
}

type CommonOptions = Omit<SourceOptions, 'source' | 'database'>

function sourceOptions(
  options: RelayOptions,
  parts: Pick<
    CommonOptions,
    'log' | 'metrics' | 'gates' | 'redisOutboxes' | 'broker' | 'watchStreams' | 'brokerTrouble'
  >,
): CommonOptions {
  return {
    ...parts,
    name: options.name ?? `${hostname()}:${process.pid}`,
    version: RELAY_VERSION,
    leaseMs: options.leaseMs ?? LEASE_MS,
    claimLeaseMs: options.claimLeaseMs ?? CLAIM_LEASE_MS,
    retentionMs: options.retentionMs ?? RETENTION_MS,
    inFlightMax: options.publishesInFlight ?? PUBLISHES_IN_FLIGHT,
    pollMs: POLL_MS,
  }
}

function checkCoordinator(
  { coordinator, api, dtm }: RelayOptions,
  databases: Readonly<Record<string, SessionConfig>>,
): void {
  if (api !== undefined) checkApiExposure(api)
  if (dtm !== undefined) checkDtmExposure(dtm)
  const limit = api?.operationsPerSecond ?? 1
  if (!(limit >= 1)) throw invalid(`api.operationsPerSecond is ${limit}, not at least 1`)
  for (const filter of coordinator?.checkSubjects ?? []) {
    const problem = subjectFilterProblem(filter)
    if (problem !== undefined) throw invalid(`coordinator.checkSubjects: ${problem}`)
  }
  if (coordinator === undefined) {
    if (api === undefined && dtm === undefined) return
    throw invalid(`${api === undefined ? 'dtm' : 'api'} needs coordinator`)
  }
  checkUrls(coordinator)
  for (const name of [coordinator.database, ...Object.values(coordinator.checks ?? {})]) {
    if (databases[name] === undefined) throw invalid(`coordinator names the database ${name}, which is not there`)
  }
}

function transactionsOf(
  { coordinator }: RelayOptions,
  source: string,
  { checks, serveTransactions }: Pick<TransactionsOptions, 'checks'> & Parts,
): SourceOptions['transactions'] {
  if (coordinator?.database !== source || serveTransactions === undefined) return undefined
  const { alerts, checkAfterMs = CHECK_AFTER_MS, deadlineMs = DEADLINE_MS } = coordinator
  return {
    checks,
    serve: serveTransactions,
    checkAfterMs,
    deadlineMs,
    alerts: alerts && { everyAttempts: ALERT_EVERY, ...alerts },
    targets: targetRules(coordinator),
  }
}

function targetRules({ urls, checkSubjects = [] }: Partial<CoordinatorOptions> = {}): TargetRules {
  return new TargetRules({ addresses: urls && readAddressRules(urls), checkSubjects })
}

function checkUrls({ urls }: CoordinatorOptions): void {
  try {
    if (urls !== undefined) readAddressRules(urls)
  } catch (error) {
    throw invalid(`coordinator.urls: ${error instanceof Error ? error.message : String(error)}`)
  }
}

function openUrls({ coordinator }: RelayOptions, { createUrlDestination }: Parts): Destination | undefined {
  return coordinator?.urls && createUrlDestination?.(coordinator.urls)
}

function openListeners(
  { api, dtm, coordinator }: RelayOptions,
  databases: Readonly<Record<string, SessionConfig>>,
  parts: Pick<ListenersOptions, 'transactions' | 'broker' | 'metrics' | 'log'>,
): Listeners | undefined {
  const database = databases[coordinator?.database ?? '']
  if (database === undefined || (api === undefined && dtm === undefined)) return undefined
  const addresses = readAddressRules(coordinator?.urls ?? { allow: [] })
  return new Listeners({ ...parts, api, dtm, database, databases, addresses, targets: targetRules(coordinator) })
}

/** Questions to databases have connections of their own: one may wait for an open transaction. */
function openChecks(
  { coordinator }: RelayOptions,
  databases: Readonly<Record<string, SessionConfig>>,
  log: Logger,
): ReadonlyMap<string, pg.Pool> {
  return new Map(
    Object.entries(coordinator?.checks ?? {}).map(([name, database]) => {
      const pool = new pg.Pool({
        ...databases[database],
        max: CHECK_CONNECTIONS,
        query_timeout: DEADLINE_MS,
        // What this relay no longer waits for, the server need not go on with.
        statement_timeout: DEADLINE_MS,
      })
      pool.on('error', (error) => log.warn({ database, error: error.message }, 'an idle connection was lost'))
      pool.on('connect', (client) => client.on('error', () => undefined))
      return [name, pool]
    }),
  )
}

function openDestinations(
  options: RelayOptions,
  { createHttpDestination }: Parts,
  broker: Broker | undefined,
  own: readonly Destination[],
): ReadonlyMap<string, Destination> {
  const { destinations = {}, handlers = {} } = options
  const opened = new Map(own.map((destination) => [destination.name, destination]))
  for (const [name, http] of Object.entries(destinations)) {
    if (createHttpDestination !== undefined) opened.set(named(name), createHttpDestination(name, http))
  }
  for (const [name, handler] of Object.entries(handlers)) {
    if (opened.has(named(name))) throw invalid(`${name} is both a destination and a handler`)
    opened.set(name, createHandlerDestination(name, handler))
  }
  if (broker !== undefined) {
    opened.set(NATS_DESTINATION, createNatsDestination(broker, NATS_CONCURRENCY, NATS_BACK_OFF))
  }
  return opened
}

function named(name: string): string {
  if (isDestinationName(name)) return name
  throw invalid(`${JSON.stringify(name)} is not a destination name (a-z 0-9 -, not "nats")`)
}

function namedDatabases({ db, databases = {} }: RelayOptions): Readonly<Record<string, SessionConfig>> {
  const all = Object.entries(db === undefined ? databases : { main: db, ...databases })
  if (all.length === 0) throw invalid('neither db nor databases names a source database')
  return Object.fromEntries(all.map(([name, database]) => [name, sessionConfig(database)]))
}

function sessionConfig(database: SourceDatabase): SessionConfig {
  if (typeof database === 'string') return { connectionString: database }
  if (!('totalCount' in database)) return database
  // pg hides the password from enumeration, so that it does not end up in logs.
  const { password } = database.options
  return password === undefined ? { ...database.options } : { ...database.options, password }
}

function invalid(reason: string): PostcommitError<'POSTCOMMIT_INVALID_OPTIONS'> {
  return new PostcommitError('POSTCOMMIT_INVALID_OPTIONS', { function: 'createRelay', reason })
}
