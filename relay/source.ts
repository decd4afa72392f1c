import pg from 'pg'
import type { Logger } from 'pino'
import type { Broker } from './broker/broker.ts'
import type { Destination } from './destinations/destination.ts'
import { type Dispatcher, startDispatcher } from './dispatcher/dispatcher.ts'
import { assignShards, type ShardOwnership } from './engine/assign-shards.ts'
import { type Housekeeping, startHousekeeping } from './housekeeping/housekeeping.ts'
import { join, type Membership } from './membership/membership.ts'
import { refreshBacklog } from './observe/backlog.ts'
import type { Metrics } from './observe/metrics.ts'
import { type ShardPublisher, startShardPublisher } from './publisher/shard-publisher.ts'
import { closeSession, DISPATCHER_OPTIONS, openSession, READER_OPTIONS, type SessionConfig } from './sessions.ts'
import { releaseShard } from './store/release-shard.ts'
import { takeShard } from './store/take-shard.ts'
import { WakeSignal } from './wake-signal.ts'

/** One source database and everything that serves it. */
export interface SourceOptions {
  readonly source: string
  readonly database: SessionConfig
  readonly name: string
  readonly version: string
  /** The broker, once it may be published to. */
  readonly broker: () => Broker | undefined
  readonly destinations: ReadonlyMap<string, Destination>
  readonly metrics: Metrics
  readonly log: Logger
  readonly leaseMs: number
  readonly claimLeaseMs: number
  readonly retentionMs: number
  readonly inFlightMax: number
  readonly pollMs: { readonly min: number; readonly max: number }
}

/** What is known of a source without asking it. */
export interface SourceHealth {
  readonly source: string
  /** Its id among the relays of this database, while it takes part. */
  readonly relay: string | undefined
  /** Milliseconds since the last successful read; undefined before the first. */
  readonly readAgeMs: number | undefined
  /** Why it does not take part at the moment. */
  readonly problem: string | undefined
  readonly shards: readonly number[]
}

/** A source that is being served. */
export interface Source {
  health(): SourceHealth
  /** Brings the gauges that only the database knows up to date. */
  refreshMetrics(): Promise<void>
  /** Resolves when it takes part for the first time, or is stopped before that. */
  readonly ready: Promise<void>
  /** Drains, gives everything back, and ends; resolves to whether everything in flight was settled. */
  stop(drainMs: number): Promise<void>
}

interface Lane {
  readonly epoch: string
  readonly publisher: ShardPublisher
  close(): Promise<void>
}

// A connection whose other end is gone would otherwise be waited for until TCP gives up.
const QUERY_TIMEOUT_MS = 30_000
const STOPPED = Symbol('stopped')
const REJOIN_FIRST_MS = 100
const REJOIN_CAP_MS = 2000

/**
 * Serves one source database until it is stopped: joins its relays, publishes the shards it is given, calls what is
 * due, keeps house; and joins again whenever the database was away or the others have declared it dead.
 */
export function serveSource(options: SourceOptions): Source {
  const { source, log, metrics } = options
  const pool = new pg.Pool({
    keepAlive: true,
    connectionTimeoutMillis: 5000,
    query_timeout: QUERY_TIMEOUT_MS,
    max: 6,
    ...options.database,
    options: [options.database.options, DISPATCHER_OPTIONS].filter(Boolean).join(' '),
  })
  pool.on('error', (error) => log.warn({ source, error: error.message }, 'an idle connection was lost'))
  const lanes = new Map<number, Lane>()
  const opening = new Set<number>()
  const retry = new WakeSignal()
  let member: Membership | undefined
  let problem: string | undefined = 'starting'
  let readAt: number | undefined
  let stopping = false
  let stop = (): void => undefined
  const stopped = new Promise<typeof STOPPED>((resolve) => {
    stop = () => resolve(STOPPED)
  })
  let becomeReady: () => void = () => undefined
  const ready = new Promise<void>((resolve) => {
    becomeReady = resolve
  })

  const onRead = (): void => {
    readAt = performance.now()
  }
  const dispatcher: Dispatcher = startDispatcher({
    source,
    pool,
    relayId: () => member?.id,
    destinations: options.destinations,
    metrics,
    log,
    claimLeaseMs: options.claimLeaseMs,
    pollMs: options.pollMs,
    onReadOk: onRead,
  })
  const housekeeping: Housekeeping = startHousekeeping({
    source,
    pool,
    relayId: () => member?.id,
    log,
    retentionMs: options.retentionMs,
  })
  const serving = serve()

  async function serve(): Promise<void> {
    let pauseMs = REJOIN_FIRST_MS
    while (!stopping) {
      try {
        member = await join({
          ...options,
          onNotify() {
            dispatcher.wake()
            for (const { publisher } of lanes.values()) publisher.wake()
          },
          onShards: balance,
        })
        problem = undefined
        pauseMs = REJOIN_FIRST_MS
        onRead()
        becomeReady()
        log.info({ source, relayId: member.id }, 'taking part')
        dispatcher.wake()
        const reason = await Promise.race([member.lost, stopped])
        if (reason === STOPPED) return
        problem = reason
        metrics.leaseLost.inc({ source })
        log.warn({ source, relayId: member.id, reason }, 'no longer taking part')
      } catch (error) {
        problem = error instanceof Error ? error.message : String(error)
        log.error({ source, error: problem }, 'cannot take part')
      }
      const former = member
      member = undefined
      await closeLanes(0)
      if (former !== undefined) await closeSession(former.client)
      if (!stopping) await retry.wait(pauseMs)
      pauseMs = Math.min(REJOIN_CAP_MS, pauseMs * 2)
    }
  }

  /** Takes and gives up shards; called on every look at the table of shards. */
  function balance(shards: readonly ShardOwnership[], relays: number): void {
    const current = member
    const broker = options.broker()
    if (broker === undefined || current === undefined || stopping) return
    onRead()
    const { take, release } = assignShards(shards, current.id, relays)
    for (const shard of take) {
      if (!opening.has(shard) && !lanes.has(shard)) void openLane(shard, current, broker)
    }
    for (const shard of release) {
      const lane = lanes.get(shard)
      if (lane !== undefined) void lane.publisher.stop(options.leaseMs).then(() => endLane(shard, lane))
    }
    // Ours by the table but not being published: its lane failed before it could say so.
    for (const { shard, owner, epoch } of shards) {
      if (owner === current.id && !lanes.has(shard) && !opening.has(shard)) {
        void releaseShard(pool, shard, epoch).catch(() => undefined)
      }
    }
  }

  async function openLane(shard: number, current: Membership, to: Broker): Promise<void> {
    opening.add(shard)
    try {
      const taken = await takeShard(pool, shard, current.id)
      if (taken === undefined) return
      const client = await openSession(options.database, current.id, READER_OPTIONS, () => undefined)
      const publisher = startShardPublisher({ ...options, broker: to, shard: taken, client, onRead })
      const lane: Lane = { epoch: taken.epoch, publisher, close: () => closeSession(client) }
      lanes.set(shard, lane)
      log.info({ source, shard, epoch: taken.epoch }, 'publishing')
      publisher.ended
        .catch((error: Error) => log.warn({ source, shard, error: error.message }, 'publishing stopped'))
        .finally(() => endLane(shard, lane))
    } catch (error) {
      log.warn({ source, shard, error: error instanceof Error ? error.message : String(error) }, 'cannot open a shard')
    } finally {
      opening.delete(shard)
    }
  }

  async function endLane(shard: number, lane: Lane): Promise<void> {
    if (lanes.get(shard) !== lane) return
    lanes.delete(shard)
    await releaseShard(pool, shard, lane.epoch).catch(() => undefined)
    await lane.close()
  }

  async function closeLanes(drainMs: number): Promise<void> {
    const open = [...lanes.values()]
    lanes.clear()
    // Closing the connection ends a query that would never be answered; nothing is to be drained over it any more.
    if (drainMs === 0) await Promise.all(open.map((lane) => lane.close()))
    await Promise.all(open.map(({ publisher }) => publisher.stop(drainMs)))
    await Promise.all(open.map((lane) => lane.close()))
  }

  const health = (): SourceHealth => ({
    source,
    relay: member?.id,
    readAgeMs: readAt === undefined ? undefined : performance.now() - readAt,
    problem,
    shards: [...lanes.keys()],
  })

  return {
    ready,
    health,
    async refreshMetrics() {
      const { readAgeMs } = health()
      if (readAgeMs !== undefined) metrics.readAge.set({ source }, readAgeMs / 1000)
      await refreshBacklog(pool, source, metrics)
    },
    async stop(drainMs) {
      stopping = true
      await Promise.all([closeLanes(drainMs), dispatcher.stop({ drainMs })])
      await housekeeping.stop()
      stop()
      becomeReady()
      retry.call()
      await serving
      await member?.leave()
      member = undefined
      await pool.end()
    },
  }
}
