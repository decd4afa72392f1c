import { hostname } from 'node:os'
import type { NodeConnectionOptions } from '@nats-io/transport-node'
import type pg from 'pg'
import { type Logger, pino } from 'pino'
import { isDestinationName, NATS_DESTINATION, PostcommitError } from 'postcommit/protocol'
import { type Broker, openBroker } from './broker/broker.ts'
import { ensureStreams, type StreamOptions } from './broker/streams.ts'
import type { Destination } from './destinations/destination.ts'
import { createHandlerDestination, type Handler } from './destinations/handler.ts'
import { createHttpDestination, type HttpDestinationOptions } from './destinations/http.ts'
import { createNatsDestination } from './destinations/nats.ts'
import { createMetrics, type Metrics } from './observe/metrics.ts'
import type { SessionConfig } from './sessions.ts'
import { type Source, type SourceHealth, serveSource } from './source.ts'
import { RELAY_VERSION } from './version.ts'
import { WakeSignal } from './wake-signal.ts'

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

/** How the relay is doing, without asking any server. */
export interface RelayHealth {
  readonly sources: readonly SourceHealth[]
  readonly nats: {
    readonly configured: boolean
    readonly connected: boolean
    /** Why nothing is published although the connection is up. */
    readonly problem: string | undefined
  }
}

/** A relay: the daemon runs one, a service may embed one. */
export interface Relay {
  /**
   * Begins to serve; resolves when every source database is being served. It never gives up on a database that is
   * away, so it may wait; `stop` ends the waiting.
   */
  start(): Promise<void>
  /** Finishes what is in flight (at most `drainMs`), gives everything back to the other relays, and ends. */
  stop(): Promise<void>
  health(): RelayHealth
  readonly metrics: Metrics
  /** Brings the gauges up to date that only the databases know: backlog, oldest age, dead letters. */
  refreshMetrics(): Promise<void>
}

const POLL_MS = { min: 2, max: 250 }
const NATS_CONCURRENCY = 100
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
  const { leaseMs = 10_000, claimLeaseMs = 60_000, retentionMs = 86_400_000, drainMs = 25_000 } = options
  const log = options.log ?? pino({ level: 'warn' })
  const metrics = options.metrics ?? createMetrics()
  const databases = namedDatabases(options)
  const ackTimeoutMs = options.nats?.ackTimeoutMs ?? 2000
  const stopSignal = new WakeSignal()
  let stopping = false
  let stopped: Promise<void> | undefined
  let natsProblem: string | undefined
  let usable: Broker | undefined
  let broker: Broker | undefined
  let sources: readonly Source[] = []
  let destinations: ReadonlyMap<string, Destination> = new Map()

  /** Publishing begins when the configured streams have been seen to be safe, not before. */
  async function prepareBroker(opened: Broker): Promise<void> {
    while (!stopping) {
      try {
        const nc = await opened.connection()
        await ensureStreams(nc, options.nats?.streams ?? [], 2 * leaseMs + ackTimeoutMs)
        natsProblem = undefined
        usable = opened
        return
      } catch (error) {
        natsProblem = error instanceof Error ? error.message : String(error)
        log.error({ error: natsProblem }, 'cannot publish')
      }
      await stopSignal.wait(2000)
    }
  }

  async function stop(): Promise<void> {
    stopping = true
    stopSignal.call()
    await Promise.all(sources.map((source) => source.stop(drainMs)))
    await Promise.all([...destinations.values()].map((destination) => destination.close()))
    await broker?.close()
  }

  return {
    metrics,
    async start() {
      if (options.nats !== undefined) {
        broker = openBroker({
          connection: options.nats.connection,
          ackTimeoutMs,
          onStatus(event, detail) {
            metrics.natsConnected.set(broker?.connected === true ? 1 : 0)
            log.warn({ event, detail }, 'NATS')
          },
        })
        broker.onConnected(() => metrics.natsConnected.set(1))
        void prepareBroker(broker)
      }
      destinations = openDestinations(options, broker)
      sources = Object.entries(databases).map(([source, database]) =>
        serveSource({
          source,
          database,
          name: options.name ?? `${hostname()}:${process.pid}`,
          version: RELAY_VERSION,
          broker: () => usable,
          destinations,
          metrics,
          log,
          leaseMs,
          claimLeaseMs,
          retentionMs,
          inFlightMax: options.publishesInFlight ?? 1000,
          pollMs: POLL_MS,
        }),
      )
      await Promise.all(sources.map(({ ready }) => ready))
    },
    async refreshMetrics() {
      await Promise.allSettled(sources.map((source) => source.refreshMetrics()))
    },
    stop() {
      stopped ??= stop()
      return stopped
    },
    health: () => ({
      sources: sources.map((source) => source.health()),
      nats: { configured: options.nats !== undefined, connected: broker?.connected ?? false, problem: natsProblem },
    }),
  }
}

function openDestinations(options: RelayOptions, broker: Broker | undefined): ReadonlyMap<string, Destination> {
  const { destinations = {}, handlers = {} } = options
  const opened = new Map<string, Destination>()
  for (const [name, http] of Object.entries(destinations)) opened.set(named(name), createHttpDestination(name, http))
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
