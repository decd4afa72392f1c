import { syncBuiltinESMExports } from 'node:module'
import promised from 'node:timers/promises'

interface Timer {
  readonly atMs: number
  readonly order: number
  readonly everyMs: number | undefined
  readonly run: () => void
}

/** What `setTimeout` gives back, as far as the loops use it. */
class Handle {
  unref(): this {
    return this
  }
}

const realImmediate = setImmediate

/**
 * The clock of a simulated world. It takes the place of the timers, of `performance.now` and of chance, so that the
 * shipped loops run unchanged, a minute of theirs takes a millisecond, and a seed runs the same history again.
 */
export class VirtualTime {
  nowMs = 0
  readonly #timers = new Map<object, Timer>()
  #order = 0
  #random: number
  readonly #real = {
    setTimeout,
    clearTimeout,
    setInterval,
    clearInterval,
    setImmediate,
    random: Math.random,
    sleep: promised.setTimeout,
  }

  constructor(seed: number) {
    this.#random = seed >>> 0 || 1
  }

  /** Puts this clock in the place of the real one until what it returns is called. */
  install(): () => void {
    const later = (run: (...given: unknown[]) => void, ms = 0, ...given: unknown[]) =>
      this.#add(() => run(...given), ms, undefined)
    const forget = (handle: unknown) => {
      if (typeof handle === 'object' && handle !== null) this.#timers.delete(handle)
    }
    const every = (run: () => void, ms = 1) => this.#add(run, ms, Math.max(1, ms))
    const soon = (run: (...given: unknown[]) => void, ...given: unknown[]) => later(run, 0, ...given)
    Object.assign(globalThis, {
      setTimeout: later,
      clearTimeout: forget,
      setInterval: every,
      clearInterval: forget,
      setImmediate: soon,
    })
    Object.defineProperty(performance, 'now', { configurable: true, value: () => this.nowMs })
    Math.random = () => this.random()
    Object.assign(promised, { setTimeout: (ms: number) => this.sleep(ms) })
    syncBuiltinESMExports()
    return () => this.#restore()
  }

  /** A number in [0, 1), the next of the seed. */
  random(): number {
    // mulberry32
    this.#random = (this.#random + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(this.#random ^ (this.#random >>> 15), this.#random | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296
  }

  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => void this.#add(resolve, ms, undefined))
  }

  /** Lets so much time pass, with everything that is due in it, in the order in which it is due. */
  async advance(ms: number): Promise<void> {
    const untilMs = this.nowMs + ms
    await settled()
    for (let next = this.#next(); next !== undefined && next[1].atMs <= untilMs; next = this.#next()) {
      const [handle, { atMs, everyMs, run }] = next
      this.#timers.delete(handle)
      this.nowMs = Math.max(this.nowMs, atMs)
      if (everyMs !== undefined) this.#put(handle, run, everyMs, everyMs)
      run()
      await settled()
    }
    this.nowMs = untilMs
  }

  /** In how many milliseconds something is due; Infinity: never. */
  get nextInMs(): number {
    return (this.#next()?.[1].atMs ?? Number.POSITIVE_INFINITY) - this.nowMs
  }

  #add(run: () => void, ms: number, everyMs: number | undefined): Handle {
    const handle = new Handle()
    this.#put(handle, run, ms, everyMs)
    return handle
  }

  #put(handle: object, run: () => void, ms: number, everyMs: number | undefined): void {
    this.#order += 1
    this.#timers.set(handle, { atMs: this.nowMs + Math.max(0, ms || 0), order: this.#order, everyMs, run })
  }

  #next(): [object, Timer] | undefined {
    let first: [object, Timer] | undefined
    for (const entry of this.#timers) {
      const [, { atMs, order }] = entry
      if (first === undefined || atMs < first[1].atMs || (atMs === first[1].atMs && order < first[1].order)) {
        first = entry
      }
    }
    return first
  }

  #restore(): void {
    const { random, sleep, ...timers } = this.#real
    Object.assign(globalThis, timers)
    Reflect.deleteProperty(performance, 'now')
    Math.random = random
    Object.assign(promised, { setTimeout: sleep })
    syncBuiltinESMExports()
  }
}

/** Once everything that follows from what has happened, without time passing, has happened. */
function settled(): Promise<void> {
  return new Promise((resolve) => void realImmediate(resolve))
}
