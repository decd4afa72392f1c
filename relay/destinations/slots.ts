import { Breaker, type BreakerState, type CallResult } from '../engine/breaker.ts'

/** The places for calls at one destination, and the breaker that closes them while it is away. */
export class Slots {
  readonly #concurrency: number
  readonly #onState: (state: BreakerState, before: BreakerState | undefined) => void
  readonly #breaker: Breaker
  #shown: BreakerState | undefined
  #running = 0
  #probing = 0

  /**
   * @param onState - called with every state of the breaker, the first one included
   * @param openCapMs - the longest pause of the breaker before it lets a call through again
   */
  constructor(
    concurrency: number,
    onState: (state: BreakerState, before: BreakerState | undefined) => void,
    openCapMs?: number,
  ) {
    this.#breaker = new Breaker(openCapMs)
    this.#concurrency = concurrency
    this.#onState = onState
    this.#show()
  }

  /** Whether calls go through as far as there are places. */
  get isClosed(): boolean {
    return this.#breaker.state === 'closed'
  }

  /** How many calls may be started now. */
  free(nowMs: number): number {
    const allowed = this.#breaker.allow(this.#concurrency - this.#running, nowMs)
    this.#show()
    return Math.max(0, this.#breaker.state === 'half-open' ? allowed - this.#probing : allowed)
  }

  /** When the breaker lets a call through again: milliseconds from now; Infinity if it is not open. */
  reopensInMs(nowMs: number): number {
    return this.#breaker.reopensInMs(nowMs)
  }

  /** Takes a place for a call. Who asks has seen that one is free. */
  take(): Slot {
    const probe = this.#breaker.state === 'half-open' ? 1 : 0
    const { openings } = this.#breaker
    this.#running += 1
    this.#probing += probe
    let taken = true
    return {
      free: (result) => {
        if (!taken) return
        taken = false
        this.#running -= 1
        this.#probing -= probe
        // A call from before the breaker opened tells what was known then, and must not pass for the probe.
        if (result === undefined || openings !== this.#breaker.openings) return
        this.#breaker.record(result, performance.now(), Math.random())
        this.#show()
      },
    }
  }

  #show(): void {
    const { state } = this.#breaker
    if (state === this.#shown) return
    const before = this.#shown
    this.#shown = state
    this.#onState(state, before)
  }
}

/** A place that was taken. */
export interface Slot {
  /** Gives it back, with what the call said about its destination; nothing, if none was made. */
  free(result?: CallResult): void
}
