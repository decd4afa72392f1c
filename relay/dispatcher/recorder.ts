import type pg from 'pg'
import type { Logger } from 'pino'
import { failpoint, within } from 'postcommit/protocol'
import type { LatencySeries } from '../observe/latency-histogram.ts'
import type { Metrics } from '../observe/metrics.ts'
import { type Recorded, recordSettlements, type SettledDelivery } from '../store/delivery/record-settlements.ts'
import { type OrderingKey, releaseSuccessors } from '../store/delivery/release-successors.ts'
import { trimAttempts } from '../store/delivery/trim-attempts.ts'
import { inTransaction } from '../store/in-transaction.ts'

/** What results are written with. */
export interface RecorderOptions {
  readonly source: string
  readonly pool: pg.Pool
  /** Who is named as the actor of failed attempts. */
  readonly relayId: () => string | undefined
  readonly metrics: Metrics
  readonly log: Logger
  /** Called when results have been written, or found to be no longer ours to write. */
  readonly onRecorded: (results: readonly Result[]) => void
}

/** A settled delivery, and where it went. */
export interface Result extends SettledDelivery {
  readonly destination: string
  readonly key: string | null
  /** The subject or stream for which it had to wait. */
  readonly withheldBy?: string
}

const BATCH_MAX = 500
/** After a batch of so many the next one waits a little to grow as well. */
const BATCH_WORTH_WAITING = 16
const GAP_MS = 8
/** Of how many failed attempts one makes room for those to come. */
const TRIM_SHARE = 1 / 50
const RETRY_FIRST_MS = 100
const RETRY_CAP_MS = 2000

/**
 * Writes results in batches, one commit each. A result that comes alone is written at once; under load those of a few
 * milliseconds go together, which costs a quarter of writing each. While the database is away results wait here; if
 * their claims have run out by then the rows are delivered again, which the receiver's inbox absorbs.
 */
export class Recorder {
  readonly #options: RecorderOptions
  readonly #seconds = new Map<string, LatencySeries>()
  #waiting: Result[] = []
  #writing: Promise<void> | undefined
  #nextAt = Number.NEGATIVE_INFINITY
  #givenUp = false

  constructor(options: RecorderOptions) {
    this.#options = options
  }

  /** How many results are not written yet. */
  get backlog(): number {
    return this.#waiting.length
  }

  add(result: Result): void {
    this.#waiting.push(result)
    this.#writing ??= this.#writeAll().finally(() => {
      this.#writing = undefined
    })
  }

  /** Writes what is left, for at most `ms`; what cannot be written by then is left to its claim. */
  async stop(ms: number): Promise<void> {
    if (this.#writing !== undefined) await within(ms, this.#writing, () => undefined).catch(() => undefined)
    this.#givenUp = true
  }

  async #writeAll(): Promise<void> {
    let retryMs = RETRY_FIRST_MS
    while (this.#waiting.length > 0 && !this.#givenUp) {
      await pause(this.#nextAt - performance.now())
      const batch = this.#waiting.splice(0, BATCH_MAX)
      this.#nextAt = performance.now() + (batch.length < BATCH_WORTH_WAITING ? 0 : GAP_MS)
      try {
        this.#recorded(batch, await this.#write(batch))
        retryMs = RETRY_FIRST_MS
        this.#trim(batch)
      } catch (error) {
        const { log, source } = this.#options
        log.warn({ source, error: error instanceof Error ? error.message : String(error) }, 'cannot write results')
        this.#waiting.unshift(...batch)
        await pause(retryMs)
        retryMs = Math.min(RETRY_CAP_MS, retryMs * 2)
      }
    }
  }

  async #write(batch: readonly Result[]): Promise<readonly Recorded[]> {
    const { pool, relayId } = this.#options
    const actor = `relay ${relayId() ?? 'that has left'}`
    const keys = batch.flatMap(confirmedKey)
    if (keys.length === 0) return await recordSettlements(pool, actor, batch)
    return await inTransaction(pool, async (client) => {
      const recorded = await recordSettlements(client, actor, batch)
      await releaseSuccessors(client, keys)
      return recorded
    })
  }

  /** Now and then is enough for what is written one row at a time. */
  #trim(batch: readonly Result[]): void {
    const failed = batch.filter(({ settlement }) => settlement.event === 'failed' || settlement.event === 'unavailable')
    const ids = failed.flatMap(({ id }) => (Math.random() < TRIM_SHARE ? [id] : []))
    if (ids.length === 0) return
    const { pool, log, source } = this.#options
    trimAttempts(pool, ids).catch((error: Error) => log.debug({ source, error: error.message }, 'cannot trim attempts'))
  }

  #recorded(batch: readonly Result[], recorded: readonly Recorded[]): void {
    failpoint('dispatcher.after_record')
    const { source, metrics, log, onRecorded } = this.#options
    const ages = new Map(recorded.map(({ id, ageMs }) => [id, ageMs]))
    for (const { id, destination, settlement } of batch) {
      const ageMs = ages.get(id)
      if (ageMs === undefined || settlement.event !== 'confirmed') continue
      this.#secondsOf(destination).observe(ageMs / 1000)
    }
    const fenced = batch.length - ages.size
    if (fenced > 0) {
      metrics.fencedWrites.inc({ source }, fenced)
      log.warn({ source, deliveries: fenced }, 'not written: these claims no longer stand')
    }
    onRecorded(batch)
  }

  #secondsOf(destination: string): LatencySeries {
    const { source, metrics } = this.#options
    const series = this.#seconds.get(destination) ?? metrics.commitToConfirm.labels({ source, destination })
    this.#seconds.set(destination, series)
    return series
  }
}

function confirmedKey({ destination, key, settlement }: Result): OrderingKey[] {
  return key !== null && settlement.event === 'confirmed' ? [{ destination, key }] : []
}

async function pause(ms: number): Promise<void> {
  if (ms > 0) await new Promise((resolve) => setTimeout(resolve, ms))
}
