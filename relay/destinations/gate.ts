import { Breaker, type BreakerState, type CallResult } from '../engine/breaker.ts'

/** A loop that makes calls at a destination: the dispatcher, the coordinator or the back-queries of one database. */
export interface Caller {
  /** How many calls it would begin now if there were places. Zero once it begins none any more. */
  readonly waiting: () => number
  /** Called while calls wait, when a place was given back or the breaker has opened. */
  readonly onChange: () => void
  /**
   * A caller whose calls cost nothing may look sooner than the breaker says whether a destination is back: so often,
   * milliseconds.
   */
  readonly probeEveryMs?: number
}

/** What one caller sees of a {@link Gate}. */
export interface Door {
  /** How many of its calls are under way. */
  readonly running: number
  /** Whether the breaker is closed: calls go through as far as there are places. */
  readonly isClosed: boolean
  /** Since when the breaker is not closed, monotonic milliseconds; undefined: it is. */
  readonly awaySinceMs: number | undefined
  /** How many calls it may begin now. */
  free(nowMs: number): number
  /** When the breaker lets one of its calls through again: milliseconds from now; Infinity if it is not open. */
  reopensInMs(nowMs: number): number
  /** Takes a place for a call. The caller has seen that one is free. */
  take(): Place
}

/** A place that was taken. */
export interface Place {
  /** Gives it back, with what the call said about the destination; nothing, if none was made. A second time does nothing. */
  free(result?: CallResult): void
}

/** How a {@link Gate} is made. */
export interface GateOptions {
  /** How many calls may be under way at once, of all callers together. */
  readonly concurrency: number
  /** Called with every state of the breaker, the first one included. */
  readonly onState: (state: BreakerState, before: BreakerState | undefined) => void
  /** The longest pause of the breaker before it lets a call through again, milliseconds. */
  readonly openCapMs?: number
}

interface Seat {
  readonly caller: Caller
  running: number
  /** Which of all takes was its last. */
  lastTake: number
}

/**
 * The one way to a destination for everything in a relay that calls it: its places, and the breaker that closes them
 * while it is away. A second gate for the same destination would double its places and learn of an outage by itself.
 *
 * Places are shared max-min: a place that is given back goes to the waiting caller that has the fewest, so each caller
 * can always have one, and a caller that is alone has all of them.
 */
export class Gate {
  /** How many calls may be under way at once. */
  readonly concurrency: number
  readonly #onState: GateOptions['onState']
  readonly #breaker: Breaker
  readonly #seats: Seat[] = []
  #shown: BreakerState | undefined
  #awaySinceMs: number | undefined
  #running = 0
  #probing = 0
  #takes = 0

  constructor({ concurrency, onState, openCapMs }: GateOptions) {
    this.#breaker = new Breaker(openCapMs)
    this.concurrency = concurrency
    this.#onState = onState
    this.#show()
  }

  /** Whether no call is under way and none waits. */
  get isIdle(): boolean {
    return this.#running === 0 && this.#seats.every(({ caller }) => caller.waiting() === 0)
  }

  /** Lets a caller in. */
  door(caller: Caller): Door {
    const seat: Seat = { caller, running: 0, lastTake: 0 }
    const breaker = this.#breaker
    const away = () => this.#awaySinceMs
    this.#seats.push(seat)
    return {
      get running() {
        return seat.running
      },
      get isClosed() {
        return breaker.state === 'closed'
      },
      get awaySinceMs() {
        return away()
      },
      free: (nowMs) => this.#free(seat, nowMs),
      reopensInMs: (nowMs) => breaker.reopensInMs(nowMs, caller.probeEveryMs),
      take: () => this.#take(seat),
    }
  }

  #free(seat: Seat, nowMs: number): number {
    const allowed = this.#breaker.allow(this.concurrency - this.#running, nowMs, seat.caller.probeEveryMs)
    this.#show()
    const places = this.#breaker.state === 'half-open' ? allowed - this.#probing : allowed
    return places <= 0 ? 0 : Math.max(0, places - this.#before(seat))
  }

  /** How many waiting callers a free place would go to sooner. */
  #before(seat: Seat): number {
    let count = 0
    for (const other of this.#seats) {
      if (other !== seat && isBefore(other, seat) && other.caller.waiting() > 0) count += 1
    }
    return count
  }

  #take(seat: Seat): Place {
    const probe = this.#breaker.state === 'half-open' ? 1 : 0
    const { openings } = this.#breaker
    this.#running += 1
    this.#probing += probe
    this.#takes += 1
    seat.running += 1
    seat.lastTake = this.#takes
    let taken = true
    return {
      free: (result) => {
        if (!taken) return
        taken = false
        this.#running -= 1
        this.#probing -= probe
        seat.running -= 1
        // A call from before the breaker opened tells what was known then, and must not pass for the probe.
        if (result !== undefined && openings === this.#breaker.openings) {
          this.#breaker.record(result, performance.now(), Math.random())
          this.#show()
        }
        this.#tellWaiting()
      },
    }
  }

  #tellWaiting(): void {
    const waiting = this.#seats.filter(({ caller }) => caller.waiting() > 0)
    if (waiting.length > 1) waiting.sort((a, b) => (isBefore(a, b) ? -1 : 1))
    for (const { caller } of waiting) caller.onChange()
  }

  #show(): void {
    const { state } = this.#breaker
    if (state === this.#shown) return
    const before = this.#shown
    this.#shown = state
    this.#awaySinceMs = state === 'closed' ? undefined : (this.#awaySinceMs ?? performance.now())
    this.#onState(state, before)
  }
}

function isBefore(one: Seat, other: Seat): boolean {
  return one.running === other.running ? one.lastTake < other.lastTake : one.running < other.running
}
