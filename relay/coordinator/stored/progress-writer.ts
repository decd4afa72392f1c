import { setTimeout as sleep } from 'node:timers/promises'
import type pg from 'pg'
import type { Logger } from 'pino'
import { failpoint } from 'postcommit/protocol'
import type { Metrics } from '../../observe/metrics.ts'
import { type Progress, recordProgress } from '../../store/transaction/record-progress.ts'
import { GroupCommit } from './group-commit.ts'

/** What progress is written with. */
export interface RecorderOptions {
  readonly source: string
  readonly pool: pg.Pool
  readonly relayId: () => string | undefined
  readonly metrics: Metrics
  readonly log: Logger
}

const RETRY_MS = { first: 50, cap: 2000 }

/**
 * Writes what became of transactions, those that come together in one commit. While the database is away it tries
 * again, until the claim in question has run out: then the transaction is another's, and what was found out is lost,
 * which costs a call that is made again.
 */
export class Recorder {
  readonly #options: RecorderOptions
  readonly #group: GroupCommit<Progress, boolean>

  constructor(options: RecorderOptions) {
    this.#options = options
    this.#group = new GroupCommit({
      keyOf: ({ id }) => id,
      refusal: () => new Error('too many transactions wait for the database'),
      write: (progress) => this.#write(progress),
    })
  }

  /** Resolves to whether it was written; false: the claim does not stand any more, or what it was decided from is not so. */
  async write(progress: Progress, isStillOurs: () => boolean): Promise<boolean> {
    const { source, log, metrics } = this.#options
    for (let pauseMs = RETRY_MS.first; isStillOurs(); pauseMs = Math.min(RETRY_MS.cap, 2 * pauseMs)) {
      try {
        const written = await this.#group.add(progress)
        if (!written) metrics.fencedWrites.inc({ source })
        return written
      } catch (error) {
        log.warn({ source, error: error instanceof Error ? error.message : String(error) }, 'cannot write progress')
        await sleep(pauseMs)
      }
    }
    return false
  }

  async #write(progress: readonly Progress[]): Promise<readonly boolean[]> {
    const { pool, relayId } = this.#options
    const written = await recordProgress(pool, `relay ${relayId() ?? 'that has left'}`, progress)
    failpoint('coordinator.after_record')
    return progress.map(({ id }) => written.has(id))
  }
}
