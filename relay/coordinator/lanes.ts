import type { Logger } from 'pino'
import type { Destination } from '../destinations/destination.ts'
import { type Slot, Slots } from '../destinations/slots.ts'
import type { BreakerState } from '../engine/breaker.ts'
import type { Metrics } from '../observe/metrics.ts'
import { Turns } from './turns.ts'

/** What branches are called at. */
export interface LanesOptions {
  readonly source: string
  readonly destinations: ReadonlyMap<string, Destination>
  /** What calls addresses, each origin with limits of its own; undefined: no address is called. */
  readonly urls: Destination | undefined
  readonly metrics: Metrics
  readonly log: Logger
  /** How many transactions more this relay can have in hand. */
  readonly room: () => number
}

/** How long to stay away from a destination. */
export interface Pause {
  readonly pauseMs: number
  /** From which the next one doubles. */
  readonly backoffMs: number
}

interface Lane {
  readonly destination: Destination
  readonly slots: Slots
  parked: (() => void)[]
  readonly turns: Turns
}

const GAUGE: Record<BreakerState, number> = { closed: 0, 'half-open': 1, open: 2 }
const ORIGINS_MAX = 500
const BACKOFF_MS = { first: 1000, cap: 30_000 }

/**
 * The destinations as far as branches are called there: for each a number of places, a breaker, and a short queue. What
 * finds neither a place nor room in the queue is given back to the database until its turn may come, so that a slow
 * destination takes nothing from the others but a little memory.
 */
export class Lanes {
  readonly #options: LanesOptions
  readonly #lanes = new Map<string, Lane>()

  constructor(options: LanesOptions) {
    this.#options = options
    for (const [name, destination] of options.destinations) this.#open(name, destination)
  }

  /** Who is called under this name; undefined: nobody that this relay knows. */
  destination(name: string): Destination | undefined {
    return this.#lane(name)?.destination
  }

  /** Takes a place for a call, if there is one. */
  take(name: string): Slot | undefined {
    const lane = this.#lane(name)
    if (lane === undefined || lane.slots.free(performance.now()) <= 0) return undefined
    const slot = lane.slots.take()
    return {
      free: (result) => {
        slot.free(result)
        if (result !== undefined) lane.turns.count(performance.now())
        this.#pump(lane)
      },
    }
  }

  /**
   * Has `resume` called when there may be a place; false if too many wait already, or the destination is away. A queue may
   * be as long as there is room besides: one that does not move leaves half of it, two of them a third.
   */
  park(name: string, resume: () => void): boolean {
    const lane = this.#lane(name)
    if (lane === undefined || lane.parked.length >= this.#options.room()) return false
    if (lane.slots.reopensInMs(performance.now()) !== Number.POSITIVE_INFINITY) return false
    lane.parked.push(resume)
    return true
  }

  /**
   * How long somebody who finds no room stays away: until his turn comes if the destination keeps its pace; if it is
   * away, or nobody knows its pace, or that would be longer, for a time that doubles, give or take a quarter.
   *
   * @param before - the `backoffMs` of the pause before, 0 for none
   */
  pause(name: string, before: number): Pause {
    const now = performance.now()
    const lane = this.#lane(name)
    const backoffMs = Math.min(BACKOFF_MS.cap, Math.max(BACKOFF_MS.first, 2 * before))
    const breakerMs = lane?.slots.reopensInMs(now) ?? 0
    const reopensInMs = Number.isFinite(breakerMs) ? breakerMs : 0
    const turnMs = reopensInMs > 0 ? undefined : lane?.turns.draw(now, lane.parked.length, backoffMs)
    const guessMs = Math.max(reopensInMs, backoffMs / 2) + (backoffMs / 2) * Math.random()
    return { pauseMs: turnMs ?? guessMs, backoffMs }
  }

  #pump(lane: Lane): void {
    while (lane.parked.length > 0 && lane.slots.free(performance.now()) > 0) lane.parked.shift()?.()
  }

  #lane(name: string): Lane | undefined {
    const lane = this.#lanes.get(name)
    if (lane !== undefined || this.#options.urls === undefined || !name.includes('://')) return lane
    return this.#open(name, this.#options.urls)
  }

  #open(name: string, destination: Destination): Lane {
    const slots = new Slots(destination.concurrency, (state, before) => this.#show(name, state, before))
    const lane: Lane = { destination, slots, parked: [], turns: new Turns() }
    // Origins come with what is handed in: the oldest without waiters goes, and with it only what its breaker knew.
    if (name.includes('://') && this.#lanes.size - this.#options.destinations.size >= ORIGINS_MAX) {
      const idle = [...this.#lanes].find(([other, { parked }]) => other.includes('://') && parked.length === 0)
      if (idle !== undefined) this.#lanes.delete(idle[0])
    }
    this.#lanes.set(name, lane)
    return lane
  }

  #show(name: string, state: BreakerState, before: BreakerState | undefined): void {
    const { source, metrics, log } = this.#options
    if (before !== undefined || state !== 'closed') {
      const destination = name.includes('://') ? 'url' : name
      metrics.breaker.set({ source, destination }, GAUGE[state])
    }
    if (state === 'open') {
      log.warn({ source, destination: name }, 'a destination is away; its branches are called again later')
      // They are given back, and wait where waiting costs nothing.
      const lane = this.#lanes.get(name)
      const parked = lane?.parked.splice(0) ?? []
      for (const resume of parked) resume()
    }
    if (state === 'closed' && before !== undefined) log.info({ source, destination: name }, 'a destination is back')
  }
}
