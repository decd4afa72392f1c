import pg from 'pg'
import type { Logger } from 'pino'
import { NATS_DESTINATION } from 'postcommit/protocol'
import type { Broker, BrokerTrouble } from './broker/broker.ts'
import type { ServedTransactions, serveTransactions, TransactionsOptions } from './coordinator/serve-transactions.ts'
import type { Gates } from './destinations/gates.ts'
import { startDispatcher } from './dispatcher/dispatcher.ts'
import { type Housekeeping, startHousekeeping } from './housekeeping/housekeeping.ts'
import { Attendance } from './membership/attendance.ts'
import { History } from './membership/history.ts'
import { join, type MembershipOptions } from './membership/membership.ts'
import { refreshBacklog, refreshDoubt } from './observe/backlog.ts'
import type { Metrics } from './observe/metrics.ts'
import { DISPATCHER_OPTIONS, openSession, READER_OPTIONS, type SessionConfig } from './postgres/sessions.ts'
import { OwnedShards, type OwnedShardsOptions } from './publisher/owned-shards.ts'
import type { ConfiguredOutbox } from './redis-outbox/configured-outboxes.ts'
import { type RedisOutboxHealth, serveRedisOutbox } from './redis-outbox/serve-redis-outbox.ts'
import { RelayNotice } from './relay-notice.ts'
import { notifyRelays } from './store/member/notify-relays.ts'

/** One source database and everything that serves it. */
export interface SourceOptions {
  readonly source: string
  readonly database: SessionConfig
  readonly name: string
  readonly version: string
  /** The broker, once it may be published to. */
  readonly broker: () => Broker | undefined
  /** Has streams watched that have acknowledged something. */
  readonly watchStreams: (names: readonly string[]) => void
  /** What keeps messages from the broker. */
  readonly brokerTrouble: () => readonly BrokerTrouble[]
  /** The ways to the destinations, which all sources of a relay share. */
  readonly gates: Gates
  readonly metrics: Metrics
  readonly log: Logger
  readonly leaseMs: number
  readonly claimLeaseMs: number
  readonly retentionMs: number
  readonly inFlightMax: number
  readonly pollMs: { readonly min: number; readonly max: number }
  /** Outboxes in Redis; those that name this source are written into this database. */
  readonly redisOutboxes: readonly ConfiguredOutbox[]
  /** For the database that holds global transactions. */
  readonly transactions?: (TransactionsOptions & { readonly serve: typeof serveTransactions }) | undefined
}

/** What is known of a source without asking it. */
export interface SourceHealth {
  readonly source: string
  /** Its id among the relays of this database, while it takes part. */
  readonly relay: string | undefined
  /** Milliseconds since the last successful read; undefined before the first. */
  readonly readAgeMs: number | undefined
  /** Why it does not take part at the moment, or does not publish. */
  readonly problem: string | undefined
  /** Why committed transactions may be missing in it, at the last look, until an operator acknowledges it. */
  readonly doubt: string | undefined
  readonly shards: readonly number[]
  /** How many global transactions it has in hand; undefined: they are not in this database. */
  readonly transactions?: number | undefined
  /** The outboxes in Redis whose entries are written into it. */
  readonly redisOutboxes?: readonly RedisOutboxHealth[]
}

/** A source that is being served. */
export interface Source {
  health(): SourceHealth
  /** Brings the gauges that only the database knows up to date. */
  refreshMetrics(): Promise<void>
  /** Resolves when it takes part for the first time, or is stopped before that. */
  readonly ready: Promise<void>
  /** The global transactions in this database, if they are in this one. */
  readonly transactions: ServedTransactions | undefined
  /** Drains, gives everything back, and ends; resolves to whether everything in flight was settled. */
  stop(drainMs: number): Promise<void>
}

// A connection whose other end is gone would otherwise be waited for until TCP gives up.
const QUERY_TIMEOUT_MS = 30_000

/**
 * Serves one source database until it is stopped: joins its relays, publishes the shards it is given, calls what is
 * due, keeps house.
 */
export function serveSource(options: SourceOptions): Source {
  const { source, metrics } = options
  const pool = openPool(options)
  let readAt: number | undefined
  let shards: OwnedShards | undefined
  let doubt: string | undefined
  const onReadOk = (): void => {
    readAt = performance.now()
  }
  const readAgeMs = () => ageOf(readAt, shards)
  const history = new History(options)
  const relayId = () => attendance.member?.id
  const wake = (calls: boolean): void => {
    for (const loop of [shards, transactions, calls ? dispatcher : undefined]) loop?.wake()
  }
  const balance: MembershipOptions['onShards'] = (table, relays) => {
    onReadOk()
    shards?.balance(table, relays)
  }
  const taking = { history, onShards: balance, onNotify: () => wake(callsServices(options)) }
  const attendance = new Attendance({
    ...options,
    join: () => join({ ...options, ...taking, identity: identityOf(options) }),
    onJoined({ id: relay }) {
      shards = openShards(options, { relay, pool, onRead: onReadOk, onHandedOn: history.handedOn })
      wake(true)
    },
    async onLost() {
      metrics.leaseLost.inc({ source })
      await shards?.close(0)
      shards = undefined
    },
  })

  const send = (): void => {
    for (const loop of [shards, dispatcher]) loop?.wake()
  }
  const dispatcher = startDispatcher({ ...options, pool, relayId, onReadOk })
  const housekeeping = startHousekeeping({ ...options, pool, relayId })
  const transactionPool = options.transactions && openPool(options)
  const transactions = transactionPool && openTransactions(options, { pool: transactionPool, relayId, send })
  const redisOutboxes = openRedisOutboxes(options, relayId)

  return {
    transactions,
    ready: attendance.begun,
    health: () => ({
      source,
      relay: relayId(),
      readAgeMs: readAgeMs(),
      problem: attendance.problem ?? shards?.refusal ?? unreadProblem(shards),
      doubt,
      shards: shards?.numbers ?? [],
      ...(transactions && { transactions: transactions.held }),
      ...(redisOutboxes.length > 0 && { redisOutboxes: redisOutboxes.map((outbox) => outbox.health()) }),
    }),
    async refreshMetrics() {
      const ageMs = readAgeMs()
      if (ageMs !== undefined) metrics.readAge.set({ source }, ageMs / 1000)
      doubt = await refreshGauges(pool, source, metrics)
      await transactions?.refreshMetrics()
      for (const outbox of redisOutboxes) outbox.refreshMetrics()
    },
    async stop(drainMs) {
      const loops = [...redisOutboxes, dispatcher, transactions].map((loop) => loop?.stop({ drainMs }))
      await Promise.all([shards?.close(drainMs), ...loops])
      await leaveInOrder(housekeeping, attendance, [pool, transactionPool])
    },
  }
}

/** Other statements may be answered while the read of the log hangs. */
function ageOf(readAt: number | undefined, shards: OwnedShards | undefined): number | undefined {
  return readAt === undefined ? undefined : Math.max(performance.now() - readAt, shards?.unreadMs ?? 0)
}

const UNREAD_MS = 2000

function unreadProblem(shards: OwnedShards | undefined): string | undefined {
  const unreadMs = shards?.unreadMs ?? 0
  if (unreadMs < UNREAD_MS) return undefined
  return `the log cannot be read, for ${Math.round(unreadMs / 1000)} s; is a table of postcommit locked?`
}

/** Resolves to why committed transactions may be missing. */
async function refreshGauges(pool: pg.Pool, source: string, metrics: Metrics): Promise<string | undefined> {
  await refreshBacklog(pool, source, metrics)
  return await refreshDoubt(pool, source, metrics)
}

/** Housekeeping is done in the name of the member, and everything over the connections. */
async function leaveInOrder(
  housekeeping: Housekeeping,
  attendance: Attendance,
  pools: readonly (pg.Pool | undefined)[],
): Promise<void> {
  await housekeeping.stop()
  await attendance.leave()
  await Promise.all(pools.map(async (pool) => await pool?.end()))
}

/**
 * Whether a wake-up can mean a call. Deliveries to NATS are delayed or were set aside, and the poll finds them: a claim at
 * every wake-up competes with the read of the log for the processors.
 */
function callsServices({ gates }: SourceOptions): boolean {
  return [...gates.named.keys()].some((name) => name !== NATS_DESTINATION)
}

function identityOf(options: SourceOptions) {
  return { ...options, destinations: [...options.gates.named.keys()] }
}

/** Messages that are handed over are sent by this relay at once, and by the others as far as they have the shards. */
function openTransactions(
  options: SourceOptions,
  { send, ...parts }: { pool: pg.Pool; relayId: () => string | undefined; send: () => void },
) {
  const notice = new RelayNotice(parts.pool, parts.relayId)
  const onHandedOver = (): void => {
    send()
    notice.give()
  }
  return options.transactions?.serve({ ...options, ...options.transactions, ...parts, onHandedOver })
}

function openShards(
  options: SourceOptions,
  parts: Pick<OwnedShardsOptions, 'pool' | 'relay' | 'onRead' | 'onHandedOn'>,
): OwnedShards {
  const openReader = () => openSession(options.database, parts.relay, READER_OPTIONS, () => undefined)
  return new OwnedShards({ ...options, ...parts, openReader, drainMs: options.leaseMs })
}

function openRedisOutboxes(options: SourceOptions, relayId: () => string | undefined) {
  return options.redisOutboxes
    .filter(({ source }) => source === options.source)
    .map((outbox) => serveRedisOutbox({ ...options, ...outbox, relayId, onMessages: notifyRelays }))
}

function openPool({ source, database, log }: SourceOptions): pg.Pool {
  const pool = new pg.Pool({
    keepAlive: true,
    connectionTimeoutMillis: 5000,
    query_timeout: QUERY_TIMEOUT_MS,
    max: 6,
    ...database,
    options: [database.options, DISPATCHER_OPTIONS].filter(Boolean).join(' '),
  })
  pool.on('error', (error) => log.warn({ source, error: error.message }, 'an idle connection was lost'))
  // One that dies while it is checked out; unheard, it would end the process. Its statement rejects as well.
  pool.on('connect', (client) => client.on('error', () => undefined))
  return pool
}
