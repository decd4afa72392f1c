import type { Logger } from 'pino'
import { failpoint, NATS_DESTINATION, PostcommitError } from 'postcommit/protocol'
import type { Broker } from '../broker/broker.ts'
import type { Metrics } from '../observe/metrics.ts'
import type { Queryable } from '../store/queryable.ts'
import { type ParkedMessage, savePosition } from '../store/save-position.ts'
import { selectBlockedKeys } from '../store/select-blocked-keys.ts'
import type { LogRow } from '../store/select-window.ts'
import type { TakenShard } from '../store/take-shard.ts'
import { WakeSignal } from '../wake-signal.ts'
import { Pipeline, type PipelineEvents, type SettledBatch } from './pipeline.ts'
import { fenced, type ReadBatch, WindowReader } from './window-reader.ts'

/** What a shard is published with. */
export interface ShardPublisherOptions {
  readonly source: string
  readonly shard: TakenShard
  /** A connection of its own, with plan_cache_mode = force_custom_plan and synchronous_commit = off. */
  readonly client: Queryable
  readonly broker: Broker
  readonly metrics: Metrics
  readonly log: Logger
  readonly inFlightMax: number
  readonly pollMs: { readonly min: number; readonly max: number }
  readonly onRead: () => void
}

/** A running shard. */
export interface ShardPublisher {
  /** Looks at the log now. */
  wake(): void
  /** Hands on what has been read, at most for `drainMs`, saves, and ends. */
  stop(drainMs: number): Promise<void>
  /** Settles when it has ended: `fenced` if another relay owns the shard by now. Rejects if its connection failed. */
  readonly ended: Promise<'stopped' | 'fenced'>
}

interface Outstanding {
  readonly batch: ReadBatch
  readonly sequence: bigint | undefined
  readonly settled: Promise<SettledBatch>
  result: SettledBatch | undefined
}

/** Batches that may be read ahead of the one that is being acknowledged. */
const OUTSTANDING_MAX = 2
const BLOCKED_KEYS_REFRESH_MS = 1000
const IDLE_SAVE_MS = 10_000

/** Publishes one shard of the log: read a window, hand it on, save the position; the next is read meanwhile. */
export function startShardPublisher(options: ShardPublisherOptions): ShardPublisher {
  const { client, shard, broker, metrics, source, log, pollMs } = options
  const signal = new WakeSignal()
  let stopping = false
  let abandon = (): void => undefined
  const abandoned = new Promise<'abandoned'>((resolve) => {
    abandon = () => resolve('abandoned')
  })

  async function run(): Promise<'stopped' | 'fenced'> {
    const blocked = await selectBlockedKeys(client, shard.slotFirst, shard.slotLast)
    const pipeline = new Pipeline(
      broker,
      events(options, () => clockOffsetMs),
      options.inFlightMax,
      blocked,
    )
    const reader = new WindowReader(client, shard)
    const outstanding: Outstanding[] = []
    let clockOffsetMs: number | undefined
    let refreshedAt = performance.now()
    let savedAt = performance.now()
    let pauseMs = pollMs.min

    /** Saves after the oldest outstanding batch, together with those behind it that are settled as well. */
    async function saveNext(): Promise<boolean> {
      const oldest = outstanding[0]
      if (oldest === undefined) return true
      if ((await Promise.race([oldest.settled, abandoned])) === 'abandoned') return false
      failpoint('publisher.after_ack')
      const parked: ParkedMessage[] = []
      let last = oldest
      while (outstanding[0]?.result !== undefined) {
        last = outstanding.shift() ?? last
        parked.push(...(last.result?.parked ?? []))
      }
      await save(last.batch, last.result, parked, last.sequence)
      return true
    }

    async function save(
      batch: ReadBatch,
      result: SettledBatch | undefined,
      parked: readonly ParkedMessage[],
      sequence: bigint | undefined,
    ): Promise<void> {
      const xid = await savePosition(client, shard.shard, shard.epoch, { ...batch.position, ack: result?.ack }, parked)
      if (xid === undefined) throw fenced(shard)
      failpoint('publisher.after_save')
      savedAt = performance.now()
      if (sequence !== undefined) reader.mark(sequence, xid)
    }

    try {
      while (!stopping) {
        const batch = await reader.read()
        clockOffsetMs = batch.clockOffsetMs
        options.onRead()
        if (batch.rows.length > 0) {
          failpoint('publisher.before_publish')
          const entry: Outstanding = {
            batch,
            sequence: reader.sequence,
            settled: pipeline.feed(batch.rows),
            result: undefined,
          }
          void entry.settled.then((result) => {
            entry.result = result
          })
          outstanding.push(entry)
          pauseMs = pollMs.min
          if (outstanding.length >= OUTSTANDING_MAX && !(await saveNext())) break
        } else if (outstanding.length > 0) {
          if (!(await saveNext())) break
        } else {
          if (performance.now() - savedAt > IDLE_SAVE_MS) await save(batch, undefined, [], reader.sequence)
          await signal.wait(pauseMs)
          pauseMs = Math.min(pollMs.max, pauseMs * 2)
        }
        if (pipeline.blockedKeys.size > 0 && performance.now() - refreshedAt > BLOCKED_KEYS_REFRESH_MS) {
          // With nothing outstanding the table is the whole truth about what is set aside.
          while (outstanding.length > 0 && (await saveNext()));
          if (outstanding.length > 0) break
          pipeline.unblock(await selectBlockedKeys(client, shard.slotFirst, shard.slotLast))
          refreshedAt = performance.now()
        }
      }
      while (outstanding.length > 0 && (await saveNext()));
      return 'stopped'
    } catch (error) {
      if (!(error instanceof PostcommitError) || error.code !== 'POSTCOMMIT_FENCED') throw error
      metrics.fencedWrites.inc({ source })
      log.warn({ source, shard: shard.shard, epoch: shard.epoch }, error.message)
      return 'fenced'
    } finally {
      pipeline.stop()
      metrics.leaseHeld.set({ source, shard: String(shard.shard) }, 0)
    }
  }

  metrics.leaseHeld.set({ source, shard: String(shard.shard) }, 1)
  const ended = run()
  ended.catch(() => undefined)
  return {
    wake: () => signal.call(),
    async stop(drainMs) {
      stopping = true
      signal.call()
      const timer = setTimeout(abandon, drainMs)
      await ended.then(
        () => undefined,
        () => undefined,
      )
      clearTimeout(timer)
    },
    ended,
  }
}

function events(options: ShardPublisherOptions, clockOffsetMs: () => number | undefined): PipelineEvents {
  const { metrics, source, log, shard } = options
  const published = metrics.published.labels({ source })
  const duplicates = metrics.duplicates.labels({ source })
  const parked = metrics.parked.labels({ source })
  const seconds = metrics.commitToConfirm.labels({ source, destination: NATS_DESTINATION })
  return {
    acked(row: LogRow, duplicate: boolean) {
      failpoint('publisher.mid_window')
      published.inc()
      if (duplicate) duplicates.inc()
      const offsetMs = clockOffsetMs()
      if (offsetMs !== undefined) seconds.observe(Math.max(0, performance.now() + offsetMs - row.createdMs) / 1000)
    },
    parked(row, error) {
      parked.inc()
      log.warn({ source, gid: row.gid, branch: row.branch, topic: row.topic, error }, 'message set aside')
    },
    outage: (error) => log.warn({ source, shard: shard.shard, error }, 'broker outage: publishing is paused'),
    recovered: () => log.info({ source, shard: shard.shard }, 'broker is back: publishing goes on'),
  }
}
