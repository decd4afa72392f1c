/** Whether a destination is being called. */
export type BreakerState = 'closed' | 'half-open' | 'open'

/**
 * What a call says about its destination: it works, it fails, it cannot be reached or asked for a pause, or it answers,
 * which says nothing about whether its work succeeds.
 */
export type CallResult = 'ok' | 'failed' | 'away' | 'reached'

const WINDOW_MS = 30_000
const CALLS_MIN = 20
const AWAY_IN_A_ROW = 5
const OPEN_FIRST_MS = 1000
/** The longest pause before a destination that is away is tried again, unless said otherwise. */
const OPEN_CAP_MS = 60_000

/**
 * Stops calling a destination that is away, and finds out by single calls when it is back. Time is handed in as
 * monotonic milliseconds, chance as a number in [0, 1); it has no clock of its own.
 *
 * Opens, of the calls of some 30 s, after five in a row that found nobody, after twenty in a row that failed, or when at
 * least half of twenty or more failed. The first pause is half a second to one, so that a destination that was only
 * restarted is found again soon; it doubles with every probe that fails, up to a minute.
 */
export class Breaker {
  #state: BreakerState = 'closed'
  #windowFrom = Number.NEGATIVE_INFINITY
  #calls = 0
  #failures = 0
  #failuresInARow = 0
  #awayInARow = 0
  #openings = 0
  #openMs = OPEN_FIRST_MS
  #openedAt = 0
  #openUntil = 0
  #openedFor: 'away' | 'failed' = 'away'
  readonly #openCapMs: number

  /** @param openCapMs - the longest pause before the next probe */
  constructor(openCapMs: number = OPEN_CAP_MS) {
    this.#openCapMs = openCapMs
  }

  get state(): BreakerState {
    return this.#state
  }

  /** How often it has opened: a call that was begun before the last time says nothing about now. */
  get openings(): number {
    return this.#openings
  }

  /**
   * How many calls may be under way now, out of `slots`. An open breaker becomes half-open when its time has come, or
   * `probeEveryMs` after it opened if that is sooner.
   */
  allow(slots: number, nowMs: number, probeEveryMs?: number): number {
    if (this.reopensInMs(nowMs, probeEveryMs) <= 0) this.#state = 'half-open'
    switch (this.#state) {
      case 'closed':
        return slots
      case 'half-open':
        return Math.min(1, slots)
      case 'open':
        return 0
    }
  }

  /** When to look again: milliseconds from now; Infinity if it is not open. */
  reopensInMs(nowMs: number, probeEveryMs: number = Number.POSITIVE_INFINITY): number {
    if (this.#state !== 'open') return Number.POSITIVE_INFINITY
    return Math.max(0, Math.min(this.#openUntil, this.#openedAt + probeEveryMs) - nowMs)
  }

  /** Learns from a call. */
  record(result: CallResult, nowMs: number, random: number): void {
    switch (this.#state) {
      case 'closed':
        this.#count(result, nowMs)
        if (this.#isTooMuch()) this.#open(result, nowMs, random)
        break
      case 'half-open':
        this.#probed(result, nowMs, random)
        break
      case 'open':
        break
    }
  }

  #probed(result: CallResult, nowMs: number, random: number): void {
    // That a failing destination answers another kind of call does not say that it has stopped failing.
    if (result === 'reached' && this.#openedFor === 'failed') return
    if (result === 'ok' || result === 'reached') this.#close()
    else this.#open(result, nowMs, random)
  }

  #count(result: CallResult, nowMs: number): void {
    if (result === 'reached') {
      this.#awayInARow = 0
      return
    }
    if (nowMs - this.#windowFrom > WINDOW_MS) {
      this.#windowFrom = nowMs
      this.#calls = 0
      this.#failures = 0
      // A single message that fails again and again, hours apart, must not keep the others from going.
      this.#failuresInARow = 0
      this.#awayInARow = 0
    }
    this.#calls += 1
    if (result !== 'ok') this.#failures += 1
    this.#failuresInARow = result === 'ok' ? 0 : this.#failuresInARow + 1
    this.#awayInARow = result === 'away' ? this.#awayInARow + 1 : 0
  }

  #isTooMuch(): boolean {
    const failing = this.#calls >= CALLS_MIN && this.#failures * 2 >= this.#calls
    // At ten thousand good calls a second half of the window would take half a minute to fail.
    return failing || this.#failuresInARow >= CALLS_MIN || this.#awayInARow >= AWAY_IN_A_ROW
  }

  #open(result: CallResult, nowMs: number, random: number): void {
    this.#state = 'open'
    this.#openedFor = result === 'away' ? 'away' : 'failed'
    this.#openedAt = nowMs
    this.#openings += 1
    this.#openUntil = nowMs + this.#openMs * (0.5 + random / 2)
    this.#openMs = Math.min(this.#openCapMs, this.#openMs * 2)
  }

  #close(): void {
    this.#state = 'closed'
    this.#windowFrom = Number.NEGATIVE_INFINITY
    this.#failuresInARow = 0
    this.#awayInARow = 0
    this.#openMs = OPEN_FIRST_MS
  }
}
