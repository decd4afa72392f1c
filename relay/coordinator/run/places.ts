import type { Destination } from '../../destinations/destination.ts'
import type { Door, Gate, Place } from '../../destinations/gate.ts'
import type { Gates } from '../../destinations/gates.ts'
import { Turns } from './turns.ts'

/** What branches are called at. */
export interface PlacesOptions {
  readonly gates: Gates
  /** How many transactions more this relay can have in hand. */
  readonly room: () => number
  /** Whether nothing is begun any more. */
  readonly isStopping: () => boolean
}

/** How long to stay away from a destination. */
export interface Pause {
  readonly pauseMs: number
  /** From which the next one doubles. */
  readonly backoffMs: number
}

/** The transactions that wait at one gate. */
interface Line {
  readonly door: Door
  parked: (() => void)[]
  readonly turns: Turns
}

const BACKOFF_MS = { first: 1000, cap: 30_000 }

/**
 * The places for branches at the destinations, and a short queue before each. A transaction that finds neither a place
 * nor room in the queue is given back to the database until its turn may come, so that a slow destination takes nothing
 * from the others but a little memory.
 */
export class Places {
  readonly #options: PlacesOptions
  readonly #lines = new WeakMap<Gate, Line>()

  constructor(options: PlacesOptions) {
    this.#options = options
  }

  /** Who is called under this name; undefined: this relay does not know it. */
  destination(name: string): Destination | undefined {
    return this.#options.gates.at(name)?.destination
  }

  /** Takes a place for a call, if there is one. */
  take(name: string): Place | undefined {
    const line = this.#line(name)
    if (line === undefined || this.#options.isStopping() || line.door.free(performance.now()) <= 0) return undefined
    const place = line.door.take()
    return {
      free: (result) => {
        if (result !== undefined) line.turns.count(performance.now())
        place.free(result)
      },
    }
  }

  /**
   * Has `resume` called when there may be a place; false if too many wait already, or the destination is away. A queue may
   * be as long as there is room besides: one that does not move leaves half of it, two of them a third.
   */
  park(name: string, resume: () => void): boolean {
    const line = this.#line(name)
    if (line === undefined || this.#options.isStopping() || line.parked.length >= this.#options.room()) return false
    if (line.door.reopensInMs(performance.now()) !== Number.POSITIVE_INFINITY) return false
    line.parked.push(resume)
    return true
  }

  /**
   * How long a transaction that finds no room stays away: until its turn comes if the destination keeps its pace; if the
   * destination is away, or its pace is not known, or that would be longer, for a time that doubles, give or take a
   * quarter.
   *
   * @param before - the `backoffMs` of the pause before, 0 for none
   */
  pause(name: string, before: number): Pause {
    const now = performance.now()
    const line = this.#line(name)
    const backoffMs = Math.min(BACKOFF_MS.cap, Math.max(BACKOFF_MS.first, 2 * before))
    const breakerMs = line?.door.reopensInMs(now) ?? 0
    const reopensInMs = Number.isFinite(breakerMs) ? breakerMs : 0
    const turnMs = reopensInMs > 0 ? undefined : line?.turns.draw(now, line.parked.length, backoffMs)
    const guessMs = Math.max(reopensInMs, backoffMs / 2) + (backoffMs / 2) * Math.random()
    return { pauseMs: turnMs ?? guessMs, backoffMs }
  }

  #line(name: string): Line | undefined {
    const gate = this.#options.gates.at(name)?.gate
    return gate && (this.#lines.get(gate) ?? this.#open(gate))
  }

  #open(gate: Gate): Line {
    const waiting = () => (this.#options.isStopping() ? 0 : line.parked.length)
    const line: Line = { door: gate.door({ waiting, onChange: () => resume(line) }), parked: [], turns: new Turns() }
    this.#lines.set(gate, line)
    return line
  }
}

function resume(line: Line): void {
  const now = performance.now()
  // Of a destination that is away they are given back, and wait where waiting costs nothing.
  const isAway = line.door.reopensInMs(now) !== Number.POSITIVE_INFINITY
  const going = isAway ? line.parked.splice(0) : []
  for (const next of going) next()
  while (line.parked.length > 0 && line.door.free(now) > 0) line.parked.shift()?.()
}
