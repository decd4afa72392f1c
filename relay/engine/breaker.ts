/** Whether a destination is being called. */
export type BreakerState = 'closed' | 'half-open' | 'open'

const WINDOW_MS = 30_000
const CALLS_MIN = 20
const AWAY_IN_A_ROW = 5
const OPEN_FIRST_MS = 500
const OPEN_CAP_MS = 60_000

/**
 * Stops calling a destination that is away, and finds out by single calls when it is back. Time is handed in as
 * monotonic milliseconds, chance as a number in [0, 1).
 *
 * Opens after five unavailable answers in a row, or when at least half of twenty or more calls within 30 s failed.
 * The first pause is short, so that a destination that was only restarted is found within a second; it doubles with
 * every probe that fails.
 */
export class Breaker {
  #state: BreakerState = 'closed'
  #windowFrom = 0
  #calls = 0
  #failures = 0
  #awayInARow = 0
  #openMs = OPEN_FIRST_MS
  #openUntil = 0

  /** How many calls may be started now, out of `free`. */
  allow(free: number, nowMs: number): number {
    if (this.#state === 'open' && nowMs >= this.#openUntil) this.#state = 'half-open'
    switch (this.#state) {
      case 'closed':
        return free
      case 'half-open':
        return Math.min(1, free)
      case 'open':
        return 0
    }
  }

  /** When to look again, if it is open: milliseconds from now. */
  reopensInMs(nowMs: number): number | undefined {
    return this.#state === 'open' ? Math.max(0, this.#openUntil - nowMs) : undefined
  }

  get state(): BreakerState {
    return this.#state
  }

  /** Learns from an outcome. */
  record(result: 'ok' | 'failed' | 'away', nowMs: number, random: number): void {
    if (nowMs - this.#windowFrom > WINDOW_MS) {
      this.#windowFrom = nowMs
      this.#calls = 0
      this.#failures = 0
    }
    this.#calls += 1
    if (result !== 'ok') this.#failures += 1
    this.#awayInARow = result === 'away' ? this.#awayInARow + 1 : 0
    if (this.#state === 'half-open') {
      if (result === 'ok') this.#close()
      else this.#open(nowMs, random)
    } else if (this.#state === 'closed' && this.#isTooMuch()) this.#open(nowMs, random)
  }

  #isTooMuch(): boolean {
    const failing = this.#calls >= CALLS_MIN && this.#failures * 2 >= this.#calls
    return failing || this.#awayInARow >= AWAY_IN_A_ROW
  }

  #open(nowMs: number, random: number): void {
    this.#state = 'open'
    this.#openUntil = nowMs + this.#openMs * (0.5 + random / 2)
    this.#openMs = Math.min(OPEN_CAP_MS, this.#openMs * 2)
  }

  #close(): void {
    this.#state = 'closed'
    this.#calls = 0
    this.#failures = 0
    this.#awayInARow = 0
    this.#openMs = OPEN_FIRST_MS
  }
}
