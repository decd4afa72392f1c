import type { Logger } from 'pino'
import type { OverduePartition } from './partitions.ts'

const SAY_EVERY_MS = 60_000

/** Says that a partition cannot be dropped, and why: once a minute while it lasts, and when it is over. */
export class OverdueLog {
  readonly #log: Logger
  #since: number | undefined
  #saidAt = Number.NEGATIVE_INFINITY

  constructor(log: Logger) {
    this.#log = log
  }

  /** Takes what a round found; gives for how long partitions have been overdue, milliseconds. */
  note(overdue: OverduePartition | undefined): number {
    const now = performance.now()
    if (overdue === undefined) {
      this.#since = undefined
      return 0
    }
    this.#since ??= now
    if (now - this.#saidAt >= SAY_EVERY_MS) {
      this.#saidAt = now
      const held = { partition: overdue.name, sessions: overdue.holders }
      this.#log.warn(held, 'a partition past its retention cannot be dropped yet: other sessions use it')
    }
    return now - this.#since
  }
}
