/** How long the pace of a destination is measured before it is believed. */
const MEASURE_MS = 250

/**
 * When those for whom a destination has no room come again: each gets a number, and comes when that number would be up
 * at the pace of the destination. So its places are never empty while somebody waits, and nobody asks in vain more often
 * than has to be. Time is handed in as monotonic milliseconds.
 */
export class Turns {
  #from = Number.NEGATIVE_INFINITY
  #ended = 0
  #perMs = 0
  /** When the number that was given out last is up. */
  #lastMs = Number.NEGATIVE_INFINITY

  /** A call has ended. */
  count(nowMs: number): void {
    this.#ended += 1
    this.#measure(nowMs)
  }

  /**
   * Gives out the next number: in how many milliseconds it is up. Undefined, and nothing is given out: not within
   * `mostMs`, or nothing is known of the pace.
   *
   * @param before - how many wait who need no number
   */
  draw(nowMs: number, before: number, mostMs: number): number | undefined {
    this.#measure(nowMs)
    if (this.#perMs === 0) return undefined
    const atMs = Math.max(this.#lastMs, nowMs + before / this.#perMs) + 1 / this.#perMs
    if (atMs - nowMs > mostMs) return undefined
    this.#lastMs = atMs
    return atMs - nowMs
  }

  #measure(nowMs: number): void {
    const sinceMs = nowMs - this.#from
    if (sinceMs < MEASURE_MS) return
    const perMs = this.#ended / sinceMs
    // The numbers that are out are up sooner, or later, with the new pace.
    if (perMs > 0 && this.#lastMs > nowMs) this.#lastMs = nowMs + ((this.#lastMs - nowMs) * this.#perMs) / perMs
    this.#perMs = perMs
    this.#from = nowMs
    this.#ended = 0
  }
}
