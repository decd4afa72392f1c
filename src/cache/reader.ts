import { AsyncLocalStorage } from 'node:async_hooks'
import { sleep } from '../clock.ts'
import type { Attendance } from './attendance.ts'
import type { CountedStats } from './cache-stats.ts'
import type { CacheStore, Claim } from './cache-store.ts'
import { type Codec, type Decoded, isAbsent, refuseValue } from './codec.ts'
import type { CompiledDefinition } from './definition.ts'
import type { Load } from './loader.ts'
import { within } from './within.ts'

/** What a {@link KeyReader} needs. */
export interface KeyReaderOptions<Id, Value> {
  readonly definition: CompiledDefinition<Id>
  readonly codec: Codec<Value>
  readonly store: CacheStore
  readonly attendance: Attendance
  readonly timeoutMs: number
  readonly load: Load<Id>
  readonly stats: CountedStats
  /** Told of a refresh that failed behind a stale value. */
  readonly onRefreshFailed: (error: unknown, key: string) => void
}

interface Waiter<Value> {
  /** Runs something in the asynchronous context of this reader. Undefined: it is the one in which the room was opened. */
  readonly inContext?: (<R>(work: () => R) => R) | undefined
  readonly resolve: (value: Value | null) => void
  readonly reject: (error: unknown) => void
}

/** Who reads a key in this process. Members came before the look at the store that is under way, the queue later. */
interface Room<Value> {
  members: Waiter<Value>[]
  queue: Waiter<Value>[]
}

interface Found<Value> {
  readonly text: string
  readonly value: Value | null
  readonly isHit: boolean
  /**
   * How many of the queue it is for as well: those who were there when it was handed to the store, which took it, so that
   * nothing had invalidated it by then. Not those who came before the answer: something may have, and been done.
   */
  readonly alsoFor: number
}

const PAUSE_MS = 5
const PAUSE_MS_MAX = 50

/**
 * Reads values: from the store, or by loading and storing them.
 *
 * Per key a process has one look at the store at a time. A reader that arrives meanwhile waits for the next one: an
 * answer that was asked for before it arrived may be older than an invalidation that was done by then.
 * A loaded value goes to:
 * - the reader that started the load, always: it was read after that reader arrived;
 * - readers that arrived before the value was handed to the store, if the store accepted it: so no invalidation came
 *   since the load began.
 *
 * Every other reader looks again.
 */
export class KeyReader<Id, Value> {
  readonly #options: KeyReaderOptions<Id, Value>
  readonly #rooms = new Map<string, Room<Value>>()

  constructor(options: KeyReaderOptions<Id, Value>) {
    this.#options = options
  }

  get(id: Id): Promise<Value | null> {
    const key = this.#options.definition.keyOf(id)
    return new Promise((resolve, reject) => {
      const room = this.#rooms.get(key)
      if (room !== undefined) room.queue.push({ resolve, reject, inContext: AsyncLocalStorage.snapshot() })
      else void this.#serve(key, id, { resolve, reject })
    })
  }

  async #serve(key: string, id: Id, first: Waiter<Value>): Promise<void> {
    const room: Room<Value> = { members: [first], queue: [] }
    this.#rooms.set(key, room)
    while (room.members.length > 0) {
      try {
        const [{ inContext } = first] = room.members
        // A load is for the reader that begins it, and runs where that reader is: its tenant, its trace.
        const reading = () => this.#read(key, id, room)
        const found = await (inContext === undefined ? reading() : inContext(reading))
        admit(room, found.alsoFor)
        if (!found.isHit) this.#options.stats.misses += room.members.length
        const handingOut = this.#handOut(found, room.members)
        if (handingOut !== undefined) await handingOut
      } catch (error) {
        this.#options.stats.misses += room.members.length
        for (const { reject } of room.members) reject(error)
      }
      room.members = room.queue.splice(0)
    }
    this.#rooms.delete(key)
  }

  /**
   * Each gets a value of his own: one that changes it changes it for nobody else. Undefined: there was only one, who has
   * his. This and what is not awaited in #read are on the way of every hit; what they leave to the collector is what the
   * slowest of a hundred reads wait for.
   */
  #handOut({ text, value }: Found<Value>, [first, ...others]: readonly Waiter<Value>[]): Promise<void> | undefined {
    first?.resolve(value)
    return others.length === 0 ? undefined : this.#decodeForEach(text, others)
  }

  async #decodeForEach(text: string, waiters: readonly Waiter<Value>[]): Promise<void> {
    for (const { resolve, reject } of waiters) {
      const decoded = await this.#decode(text)
      if (decoded.problem === undefined) resolve(decoded.value)
      else reject(new TypeError(`the schema gave two answers to one value: ${decoded.problem}`))
    }
  }

  async #read(key: string, id: Id, room: Room<Value>): Promise<Found<Value>> {
    const { attendance, definition, stats } = this.#options
    const { leaseMs, staleMs } = definition
    let refused: string | undefined
    let pauseMs = PAUSE_MS
    let waitingSince: number | undefined
    // Only at the start: a value of the first level costs less than a turn through the queue.
    if (attendance.begun !== undefined) await attendance.begun
    while (attendance.isReading) {
      // The question is asked only now, so it is theirs too.
      admit(room)
      const claim = await this.#claim(key, refused)
      if (claim === undefined) break
      const shown = claim.state === 'hit' ? claim.text : staleMs > 0 ? claim.stale : undefined
      const readers = room.members.length
      const decoding = shown === undefined ? undefined : this.#decode(shown)
      const decoded = decoding instanceof Promise ? await decoding : decoding
      const found =
        shown === undefined || decoded === undefined ? undefined : this.#present(shown, decoded, claim, readers)
      if (claim.state === 'hit' && found === undefined) refused = claim.text
      if (claim.state === 'load') {
        if (found === undefined) return await this.#loadAndFill(key, id, claim.lease, room)
        this.#refresh(key, id, claim.lease, room)
      }
      if (found !== undefined) return found
      if (claim.state === 'wait') {
        waitingSince ??= performance.now()
        // Who holds the lease has had it twice over, or others after him.
        if (performance.now() - waitingSince > 2 * leaseMs) break
        await sleep(pauseMs)
        pauseMs = Math.min(PAUSE_MS_MAX, pauseMs * 1.5)
      }
    }
    admit(room)
    stats.bypassed += 1
    return await this.#loadFound(key, id)
  }

  #present(text: string, decoded: Decoded<Value>, claim: Claim, readers: number): Found<Value> | undefined {
    const { stats } = this.#options
    if (decoded.problem !== undefined) {
      stats.mismatched += 1
      return undefined
    }
    stats.hits += readers
    if (claim.state !== 'hit') stats.stale += readers
    else if (claim.isNear === true) stats.firstLevel += readers
    return { text, value: decoded.value, isHit: true, alsoFor: 0 }
  }

  async #claim(key: string, refused: string | undefined): Promise<Claim | undefined> {
    const { store, definition, attendance, timeoutMs } = this.#options
    const path = `${definition.name}:${key}`
    const claim = store.claim(path, { leaseMs: definition.leaseMs, since: attendance.since, refused })
    if (!(claim instanceof Promise)) return claim
    try {
      return await within(timeoutMs, claim)
    } catch (error) {
      // The client may send it when the server is back. Nobody loads under a lease that is given then, and all would wait.
      claim
        .then(
          (late) => (late.state === 'load' ? store.release(path, late.lease) : undefined),
          () => undefined,
        )
        .catch(() => undefined)
      attendance.failed(error)
      return undefined
    }
  }

  async #loadAndFill(key: string, id: Id, lease: string, { queue }: Room<Value>): Promise<Found<Value>> {
    const { store, definition, stats } = this.#options
    const path = `${definition.name}:${key}`
    let found: Found<Value>
    try {
      found = await this.#loadFound(key, id)
    } catch (error) {
      await this.#tell((ms) => within(ms, store.release(path, lease)))
      throw error
    }
    const there = queue.length
    const isStored = await this.#tell((ms) => within(ms, store.fill(path, lease, found.text, this.#ttlMs(found.text))))
    if (isStored === false) stats.fillsDropped += 1
    return { ...found, alsoFor: isStored === true ? there : 0 }
  }

  #refresh(key: string, id: Id, lease: string, room: Room<Value>): void {
    const { onRefreshFailed } = this.#options
    this.#loadAndFill(key, id, lease, room).catch((error: unknown) => onRefreshFailed(error, key))
  }

  async #loadFound(key: string, id: Id): Promise<Found<Value>> {
    const { load, codec, stats } = this.#options
    stats.loads += 1
    try {
      const text = codec.encode(key, await load(id))
      const decoded = await this.#decode(text)
      if (decoded.problem !== undefined) return refuseValue(key, decoded.problem)
      return { text, value: decoded.value, isHit: false, alsoFor: 0 }
    } catch (error) {
      stats.loadsFailed += 1
      throw error
    }
  }

  #decode(text: string): Decoded<Value> | Promise<Decoded<Value>> {
    return this.#options.codec.decode(text)
  }

  /** Tells the store something that the reader need not wait for to be right. */
  async #tell<T>(say: (timeoutMs: number) => Promise<T>): Promise<T | undefined> {
    try {
      return await say(this.#options.timeoutMs)
    } catch (error) {
      this.#options.attendance.failed(error)
      return undefined
    }
  }

  #ttlMs(text: string): number {
    const { ttlMs, negativeTtlMs, jitter } = this.#options.definition
    const fullMs = isAbsent(text) ? negativeTtlMs : ttlMs
    return Math.max(1, Math.round(fullMs * (1 - jitter * Math.random())))
  }
}

function admit<Value>({ members, queue }: Room<Value>, count = queue.length): void {
  members.push(...queue.splice(0, count))
}
