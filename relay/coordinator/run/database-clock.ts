const STALE_MS = 5000

/** The database's clock, as far as it is known between two of its answers: the last time it told, and what passed since. */
export class DatabaseClock {
  #offsetMs: number | undefined
  #learntAt = Number.NEGATIVE_INFINITY

  /** The database has just said that it is `nowMs`, in Unix milliseconds. */
  learn(nowMs: number): void {
    this.#learntAt = performance.now()
    this.#offsetMs = nowMs - this.#learntAt
  }

  /** Whether it has ever told. */
  get isKnown(): boolean {
    return this.#offsetMs !== undefined
  }

  /** Whether it is time to ask: somebody may have set one of the clocks. */
  get isStale(): boolean {
    return performance.now() - this.#learntAt > STALE_MS
  }

  /** Unix milliseconds. */
  now(): number {
    return performance.now() + (this.#offsetMs ?? 0)
  }
}
