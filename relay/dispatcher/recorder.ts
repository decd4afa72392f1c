import type pg from 'pg'
import type { Logger } from 'pino'
import { failpoint } from 'postcommit/protocol'
import type { Metrics } from '../observe/metrics.ts'
import { recordSettlements, type SettledDelivery } from '../store/record-settlements.ts'

/** What results are written with. */
export interface RecorderOptions {
  readonly source: string
  readonly pool: pg.Pool
  readonly relayId: () => string | undefined
  readonly metrics: Metrics
  readonly log: Logger
  readonly onRecorded: () => void
}

/** A settled delivery, and where it went. */
export type Result = SettledDelivery & { readonly destination: string }

const BATCH_MAX = 500
const RETRY_MS = 250

/**
 * Writes results in batches: whatever has gathered while the last batch was being written. Under load batches grow by
 * themselves, without it a result is written at once. While the database is away results wait here; if their claims
 * have run out by then the rows are delivered again, which the receiver's inbox absorbs.
 */
export class Recorder {
  readonly #options: RecorderOptions
  #waiting: Result[] = []
  #writing: Promise<void> | undefined
  #givenUp = false

  constructor(options: RecorderOptions) {
    this.#options = options
  }

  add(result: Result): void {
    this.#waiting.push(result)
    this.#writing ??= this.#write()
  }

  /** Writes what is left, for at most `ms`. */
  async stop(ms: number): Promise<void> {
    const timer = setTimeout(() => {
      this.#givenUp = true
    }, ms)
    await this.#writing
    clearTimeout(timer)
  }

  async #write(): Promise<void> {
    // One turn of the event loop: the answers that came in together are written together.
    await new Promise((resolve) => setImmediate(resolve))
    while (this.#waiting.length > 0 && !this.#givenUp) {
      const batch = this.#waiting.splice(0, BATCH_MAX)
      try {
        await this.#record(batch)
      } catch (error) {
        const { log, source } = this.#options
        log.warn({ source, error: error instanceof Error ? error.message : String(error) }, 'cannot write results')
        this.#waiting.unshift(...batch)
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS))
      }
    }
    this.#writing = undefined
  }

  async #record(batch: readonly Result[]): Promise<void> {
    const { pool, source, metrics, onRecorded } = this.#options
    const recorded = await recordSettlements(pool, this.#options.relayId() ?? 'a former relay', batch)
    failpoint('dispatcher.after_record')
    const results = new Map(batch.map((result) => [result.id, result]))
    for (const { id, ageMs } of recorded) {
      const result = results.get(id)
      if (result?.settlement.event !== 'confirmed') continue
      metrics.commitToConfirm.observe({ source, destination: result.destination }, ageMs / 1000)
    }
    if (recorded.length < batch.length) metrics.fencedWrites.inc({ source }, batch.length - recorded.length)
    onRecorded()
  }
}
