/** How far ahead deliveries are claimed: what a destination takes in so many milliseconds, at its present speed. */
const AHEAD_MS = 50

/** How fast a destination takes deliveries. Time is handed in as monotonic milliseconds. */
export class Pace {
  #from = Number.NEGATIVE_INFINITY
  #done = 0
  #ahead = 0

  /** A delivery has ended. */
  count(): void {
    this.#done += 1
  }

  /**
   * How many deliveries to hold ready beside those under way: about as many as ended in the last {@link AHEAD_MS}, so
   * none for a destination that hangs.
   */
  ahead(nowMs: number): number {
    const sinceMs = nowMs - this.#from
    if (sinceMs < AHEAD_MS) return this.#ahead
    this.#ahead = Math.floor((this.#done * AHEAD_MS) / sinceMs)
    this.#from = nowMs
    this.#done = 0
    return this.#ahead
  }
}
