import type pg from 'pg'
import type { Logger } from 'pino'
import { failpoint, within } from 'postcommit/protocol'
import { type EntryReading, entryStream, type IoredisLike, type NodeRedisLike } from 'postcommit/redis-outbox'
import type { Metrics } from '../observe/metrics.ts'
import { closeSession, openSession, REDIS_OUTBOX_OPTIONS, type SessionConfig } from '../postgres/sessions.ts'
import { lockOutbox } from '../store/redis-outbox/lock-outbox.ts'
import { type SaleRow, selectSale } from '../store/redis-outbox/select-sale.ts'
import { stopSale } from '../store/redis-outbox/stop-sale.ts'
import { WakeSignal } from '../wake-signal.ts'
import { BatchWriter, NothingWritten, type WriteEntries, type WrittenBatch } from './batch-writer.ts'

/** An outbox in Redis that a relay reads. */
export interface RedisOutboxSource {
  /** A connected client of `redis` or `ioredis`, single or of a cluster; it stays the caller's to close. */
  readonly redis: NodeRedisLike | IoredisLike
  /** The name that `redisOutbox()` was given. */
  readonly name: string
  /** The database that its entries are written into, one of the relay's; may be left out if there is only one. */
  readonly source?: string
  /** Writes what follows from entries; without it only their messages are written. */
  readonly write?: WriteEntries
  /** How many entries go into one transaction, 1 to 5000, default 1000. */
  readonly batch?: number
}

/** How an outbox in Redis stands, as this relay knows it. */
export interface RedisOutboxHealth {
  readonly name: string
  /** Whether this relay is the one that applies its entries. */
  readonly leads: boolean
  /** Entries that were not applied at the last look. */
  readonly waiting: number | undefined
  /** Why nothing is applied or sold at the moment. */
  readonly problem: string | undefined
}

/** How one is served. */
export interface ServeRedisOutboxOptions extends RedisOutboxSource {
  readonly source: string
  readonly database: SessionConfig
  readonly relayId: () => string | undefined
  readonly metrics: Metrics
  readonly log: Logger
  /** Messages were written into the log or the deliveries. */
  readonly onMessages: (client: pg.Client) => Promise<void>
}

/** One that is being served. */
export interface ServedRedisOutbox {
  health(): RedisOutboxHealth
  refreshMetrics(): void
  stop(options: { readonly drainMs: number }): Promise<void>
}

const BATCH = 1000
const STANDBY_MS = 300
const IDLE_MS = { first: 1, cap: 25 }
const RETRY_MS = { first: 100, cap: 2000 }
/** Longer without an answer of Redis, and another relay may try. */
const REDIS_MS = 5000

/**
 * Applies the entries of an outbox in Redis, oldest first, one batch after the other: reads, writes in one transaction,
 * deletes them with the next reading.
 *
 * One relay at a time does so, under a lock of the session that also writes; the others wait for it. Side by side they
 * would only wait for each other at the row of the stock, and a return could be applied before its deduction.
 */
export function serveRedisOutbox(options: ServeRedisOutboxOptions): ServedRedisOutbox {
  return new RedisOutboxLoop(options)
}

class RedisOutboxLoop implements ServedRedisOutbox {
  readonly #options: ServeRedisOutboxOptions
  readonly #stream
  readonly #signal = new WakeSignal()
  readonly #running: Promise<void>
  #stopping = false
  #leads = false
  #waiting: number | undefined
  #problem: string | undefined = 'starting'
  #stopped: string | undefined
  #retryMs: number = RETRY_MS.first

  constructor(options: ServeRedisOutboxOptions) {
    this.#options = options
    this.#stream = entryStream(options.redis, options.name)
    this.#running = this.#run()
  }

  health(): RedisOutboxHealth {
    const { name } = this.#options
    return { name, leads: this.#leads, waiting: this.#waiting, problem: this.#problem ?? this.#stopped }
  }

  refreshMetrics(): void {
    const { metrics, source, name: outbox } = this.#options
    // Only who applies them knows; that of the others must not add to it.
    metrics.redisWaiting.set({ source, outbox }, this.#leads ? (this.#waiting ?? 0) : 0)
    metrics.redisStopped.set({ source, outbox }, this.#leads && this.#stopped !== undefined ? 1 : 0)
  }

  async stop({ drainMs }: { readonly drainMs: number }): Promise<void> {
    this.#stopping = true
    this.#signal.call()
    await within(drainMs, this.#running, () => undefined).catch(() => undefined)
  }

  async #run(): Promise<void> {
    const { relayId } = this.#options
    while (!this.#stopping) {
      const relay = relayId()
      if (relay === undefined) {
        await this.#signal.wait(STANDBY_MS)
        continue
      }
      try {
        await this.#takePart(relay)
      } catch (error) {
        await this.#rest(error)
      }
    }
  }

  /** Says what is wrong, once, and waits a little longer each time. */
  async #rest(cause: unknown): Promise<void> {
    const { log, source, name: outbox } = this.#options
    const error = cause instanceof Error ? cause.message : String(cause)
    if (this.#problem !== error) log.warn({ source, outbox, error }, 'cannot apply entries of Redis')
    this.#problem = error
    await this.#signal.wait(this.#retryMs)
    this.#retryMs = Math.min(RETRY_MS.cap, this.#retryMs * 2)
  }

  /** Waits for the lock and applies entries, until told to stop or something fails. */
  async #takePart(relay: string): Promise<void> {
    const { database, name } = this.#options
    let lost: Error | undefined
    const session = await openSession(database, relay, REDIS_OUTBOX_OPTIONS, (error) => {
      lost ??= error
      this.#signal.call()
    })
    try {
      for (;;) {
        if (this.#stopping) return
        if (lost !== undefined) throw lost
        if (await lockOutbox(session, name)) break
        this.#problem = undefined
        await this.#signal.wait(STANDBY_MS)
      }
      this.#leads = true
      await this.#apply(session, relay, () => lost)
    } finally {
      this.#leads = false
      await closeSession(session)
    }
  }

  async #apply(session: pg.Client, relay: string, lost: () => Error | undefined): Promise<void> {
    const { name, batch = BATCH, write } = this.#options
    const writer = new BatchWriter(session, { name, write, actor: `relay ${relay}` })
    await this.#ask(this.#stream.requireSuitable())
    let sale = await selectSale(session, name)
    let applied: readonly string[] = []
    let pauseMs: number = IDLE_MS.first
    for (;;) {
      const failure = lost()
      if (failure !== undefined) throw failure
      const reading = await this.#ask(this.#stream.read(applied, batch))
      if (applied.length > 0) failpoint('redis_outbox.after_delete')
      applied = []
      this.#waiting = reading.length
      sale = await this.#compare(session, sale, reading)
      if (this.#stopping) return
      if (reading.entries.length > 0) {
        failpoint('redis_outbox.after_read')
        const written = await writer.write(reading.entries).catch(nothingWritten)
        if (written instanceof NothingWritten) {
          await this.#rest(written)
          continue
        }
        failpoint('redis_outbox.after_commit')
        await this.#tell(session, written)
        applied = reading.entries.map(({ id }) => id)
        if (written.overdrawn !== undefined) sale = await this.#halt(session, reading, written.overdrawn)
        pauseMs = IDLE_MS.first
      }
      this.#problem = undefined
      this.#retryMs = RETRY_MS.first
      if (applied.length > 0) continue
      await this.#signal.wait(pauseMs)
      pauseMs = Math.min(this.#stopped === undefined ? IDLE_MS.cap : STANDBY_MS, pauseMs * 2)
    }
  }

  async #tell(session: pg.Client, { applied, repeated, parked, messages }: WrittenBatch): Promise<void> {
    const { metrics, source, name: outbox, log, onMessages } = this.#options
    for (const [outcome, count] of Object.entries({ applied, repeated, parked })) {
      if (count > 0) metrics.redisEntries.inc({ source, outbox, outcome }, count)
    }
    if (parked > 0) log.error({ source, outbox, parked }, 'entries of Redis were set aside as dead letters')
    if (messages > 0) await onMessages(session)
  }

  /** Whether this Redis is the one that the stock was put into; if not, nothing more is sold, here and there. */
  async #compare(session: pg.Client, known: SaleRow | undefined, reading: EntryReading): Promise<SaleRow | undefined> {
    const isAsKnown =
      reading.epoch === known?.epoch && (reading.stopped === undefined) === (known?.stoppedReason == null)
    if (isAsKnown && known?.stoppedReason == null) {
      this.#stopped = undefined
      return known
    }
    const { name } = this.#options
    const sale = await selectSale(session, name)
    if (sale === undefined || !sale.stocked) return sale
    if (reading.epoch !== sale.epoch && sale.stoppedReason === null) {
      const what =
        reading.epoch === undefined ? 'Redis has lost the stock' : 'the stock in Redis is another than was opened'
      return await this.#halt(session, reading, what)
    }
    this.#stopped = sale.stoppedReason ?? undefined
    // Whoever stopped it may have died before it told Redis.
    if (sale.stoppedReason !== null && reading.epoch !== undefined && reading.stopped === undefined) {
      await this.#ask(this.#stream.stop(reading.epoch, sale.stoppedReason))
    }
    return sale
  }

  async #halt(session: pg.Client, reading: EntryReading, reason: string): Promise<SaleRow | undefined> {
    const { name, source, log } = this.#options
    const sale = await selectSale(session, name)
    if (sale === undefined) return undefined
    await stopSale(session, name, sale.epoch, reason)
    log.error({ source, outbox: name, reason, code: 'POSTCOMMIT_STOCK_STORE_LOST' }, 'the sale was stopped')
    this.#stopped = reason
    if (reading.epoch !== undefined) await this.#ask(this.#stream.stop(reading.epoch, reason))
    return await selectSale(session, name)
  }

  /** A client that has lost its server keeps what it is asked until there is one; this relay must not keep the lock. */
  #ask<T>(answer: Promise<T>): Promise<T> {
    return within(REDIS_MS, answer, (): never => {
      throw new Error(`Redis does not answer within ${REDIS_MS} ms`)
    })
  }
}

function nothingWritten(error: unknown): NothingWritten {
  if (error instanceof NothingWritten) return error
  throw error
}
