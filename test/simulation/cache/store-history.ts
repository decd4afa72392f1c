import type { CacheStore } from 'postcommit/cache'

/** One step of a history over one key. `at` picks among the leases that somebody holds. */
export type StoreStep =
  | { readonly do: 'commit' }
  | { readonly do: 'invalidate'; readonly staleMs: number }
  | { readonly do: 'claim' }
  | { readonly do: 'load' | 'fill' | 'release'; readonly at: number }
  | { readonly do: 'wait'; readonly ms: number }
  | { readonly do: 'distrust' }

/** How the time of the store passes. */
export interface HistoryClock {
  now(): number
  advance(ms: number): void
}

/** A promise of the store that was broken. */
export class BrokenPromise extends Error {
  override readonly name = 'BrokenPromise'
}

const LEASE_MS = 100
/** Where time plays no part, it must not end while a busy machine does something else. */
const TTL_MS = 600_000

interface Holder {
  readonly lease: string
  readonly claimedAt: number
  /** What it has read; undefined: not yet. */
  version?: number | undefined
}

/**
 * Plays a history against a store beside a database of one row, and holds the store to what it promises. The values
 * are versions, so whoever is shown one knows how old it is.
 *
 * @param clock - of the store; without one, time plays no part
 */
export class StoreHistory {
  readonly #store: CacheStore
  readonly #key: string
  readonly #clock: HistoryClock | undefined
  readonly #holders: Holder[] = []
  #version = 1
  /** What the last finished invalidation was about: nothing older is a hit. */
  #floor = 0
  /** The lease whose fill may be stored, and until when nobody else gets one. */
  #newest: { readonly lease: string; readonly until: number } | undefined
  /** Until when an invalidated value may be shown; undefined: nothing has been invalidated since the last fill. */
  #staleUntil: number | undefined
  #since = 0
  /** When the load of what is stored was claimed. */
  #storedAt = 0

  constructor(store: CacheStore, key: string, clock?: HistoryClock) {
    this.#store = store
    this.#key = key
    this.#clock = clock
  }

  async play(steps: readonly StoreStep[]): Promise<void> {
    for (const step of steps) await this.#do(step)
    // Whatever has happened, the store can still be used.
    this.#clock?.advance(LEASE_MS)
    await this.#do({ do: 'invalidate', staleMs: 0 })
    await this.#do({ do: 'claim' })
    await this.#do({ do: 'load', at: this.#holders.length - 1 })
    await this.#do({ do: 'fill', at: this.#holders.length - 1 })
    const last = await this.#store.peek(this.#key, this.#since)
    demand(last?.text === String(this.#version), `in the end it holds ${last?.text}, not ${this.#version}`)
  }

  get #now(): number {
    return this.#clock?.now() ?? 0
  }

  async #do(step: StoreStep): Promise<void> {
    switch (step.do) {
      case 'commit':
        this.#version += 1
        break
      case 'invalidate':
        await this.#store.invalidate(this.#key, { staleMs: step.staleMs, id: '' })
        this.#floor = this.#version
        this.#newest = undefined
        this.#staleUntil = Math.min(this.#staleUntil ?? Number.POSITIVE_INFINITY, this.#now + step.staleMs)
        break
      case 'claim':
        await this.#claim()
        break
      case 'load': {
        const holder = pick(this.#holders, step.at)
        if (holder !== undefined) holder.version ??= this.#version
        break
      }
      case 'fill':
        await this.#fill(step.at)
        break
      case 'release': {
        const holder = take(this.#holders, step.at)
        if (holder === undefined) break
        await this.#store.release(this.#key, holder.lease)
        if (this.#newest?.lease === holder.lease) this.#newest = undefined
        break
      }
      case 'wait':
        this.#clock?.advance(step.ms)
        break
      case 'distrust':
        this.#since = this.#now
        break
    }
  }

  async #claim(): Promise<void> {
    const claim = await this.#store.claim(this.#key, {
      leaseMs: this.#clock === undefined ? TTL_MS : LEASE_MS,
      since: this.#since,
    })
    const isHeld = this.#newest !== undefined && (this.#clock === undefined || this.#newest.until > this.#now)
    if (claim.state === 'hit') {
      demand(Number(claim.text) >= this.#floor, `a hit of ${claim.text} after ${this.#floor} was invalidated`)
      demand(this.#storedAt >= this.#since, 'a hit of before what is believed')
      return
    }
    if (claim.stale !== undefined) {
      demand(this.#staleUntil !== undefined && this.#now < this.#staleUntil, 'stale beyond its deadline')
      demand(this.#storedAt >= this.#since, 'stale of before what is believed')
    }
    if (claim.state === 'wait') {
      demand(isHeld, 'somebody is to wait and nobody loads')
      return
    }
    demand(!isHeld, 'two leases at once')
    const holder = { lease: claim.lease, claimedAt: this.#now }
    this.#holders.push(holder)
    this.#newest = { lease: claim.lease, until: this.#now + LEASE_MS }
  }

  async #fill(at: number): Promise<void> {
    const holder = take(this.#holders, at)
    if (holder?.version === undefined) return
    const isStored = await this.#store.fill(this.#key, holder.lease, String(holder.version), TTL_MS)
    const isNewest = this.#newest?.lease === holder.lease
    demand(isStored === isNewest, isStored ? 'a fill without the newest lease' : 'the newest lease was refused')
    if (!isStored) return
    this.#newest = undefined
    this.#staleUntil = undefined
    this.#storedAt = holder.claimedAt
  }
}

function demand(holds: boolean, otherwise: string): void {
  if (!holds) throw new BrokenPromise(otherwise)
}

function pick<T>(list: readonly T[], at: number): T | undefined {
  return list[at % Math.max(1, list.length)]
}

function take<T>(list: T[], at: number): T | undefined {
  return list.length === 0 ? undefined : list.splice(at % list.length, 1)[0]
}
