import { randomBytes } from 'node:crypto'
import { hostname } from 'node:os'
import { sleep } from '../clock.ts'
import { PostcommitError } from '../protocol/errors.ts'
import type { CacheStore } from './cache-store.ts'
import { attend, distrust, leave, readSwitchboard, recall, type Switchboard } from './switchboard.ts'
import { StoreTimeout, within } from './within.ts'

/** What {@link Attendance} needs. */
export interface AttendanceOptions {
  readonly store: CacheStore
  /** How long one answer of the store is waited for, milliseconds. */
  readonly timeoutMs: number
  /** Told when the store is lost, and not again until it was there in between. */
  readonly onLost: (error: unknown) => void
}

const EVERY_MS = 1000
const AGAIN_MS = 100
/** How long a process may go by what it has read last. */
const LEASE_MS = 5000
/** How long a connection must hold after it was lost. */
const RETURN_MS = 500
const SWAPS_MAX = 20

/**
 * Whether this process may read from the store, and what it may believe there.
 *
 * It reads the board of switches every second and signs it. While it cannot, or once the store has failed to answer, it
 * uses the store for nothing: reads go to the database. What a store held before it may have lost something (a restart,
 * a replica that took over), or while an invalidation could not be applied, nobody believes afterwards.
 */
export class Attendance {
  readonly id = `${hostname().slice(0, 32)}-${process.pid}-${randomBytes(3).toString('hex')}`
  readonly #options: AttendanceOptions
  readonly #stopListening: () => void
  #board: Switchboard = readSwitchboard(undefined)
  #validUntil = 0
  #isDown = false
  /** When the connection was lost last. */
  #brokenAt = Number.NEGATIVE_INFINITY
  /** Invalidations that the store has missed so far, and those of which the board tells. */
  #missed = 0
  #missedKnown = 0
  #timer: NodeJS.Timeout | undefined
  #attending: Promise<void> | undefined
  #begun: Promise<void> | undefined
  #isClosed = false

  constructor(options: AttendanceOptions) {
    this.#options = options
    this.#stopListening = options.store.onInterrupted(() => this.failed(new Error('the connection was lost')))
    this.#begun = this.#attendForEver().then(() => {
      this.#begun = undefined
    })
  }

  /** Until the first try to reach the store is over. */
  get begun(): Promise<void> | undefined {
    return this.#begun
  }

  get isReading(): boolean {
    return !this.#isDown && this.#board.read && performance.now() < this.#validUntil
  }

  /** Who does not know goes on: an invalidation too many costs a load. */
  get isInvalidating(): boolean {
    return this.#board.invalidate || performance.now() >= this.#validUntil
  }

  get isDown(): boolean {
    return this.#isDown
  }

  get since(): number {
    return this.#board.since
  }

  /** The store has not done what it was asked. */
  failed(error: unknown): void {
    if (!(error instanceof StoreTimeout)) this.#brokenAt = performance.now()
    if (this.#isDown || this.#isClosed) return
    this.#isDown = true
    this.#options.onLost(error)
    this.#schedule(AGAIN_MS)
  }

  /** An invalidation could not be applied: until it is, what is in the store may be out of date. */
  missedInvalidation(): void {
    this.#missed += 1
  }

  /**
   * Changes the board, and goes by what it says then.
   * @param change - undefined: leaves it as it is
   */
  async update(change: (board: Switchboard, nowMs: number) => Switchboard | undefined): Promise<Switchboard> {
    const { store, timeoutMs } = this.#options
    for (let swap = 0; swap < SWAPS_MAX; swap += 1) {
      const missed = this.#missed
      const { text, nowMs, doubtfulAtMs } = await within(timeoutMs, store.readBoard())
      const read = distrust(recall(readSwitchboard(text), this.#board, nowMs), doubtfulAtMs)
      const before = missed === this.#missedKnown ? read : distrust(read, nowMs)
      const after = change(before, nowMs)
      if (after === undefined) return before
      if (await within(timeoutMs, store.swapBoard(text, JSON.stringify(after)))) {
        this.#board = after
        this.#missedKnown = missed
        return after
      }
      await sleep(Math.random() * 10 * (swap + 1))
    }
    throw new PostcommitError('POSTCOMMIT_CACHE_UNREACHABLE', { reason: 'too many processes write its board at once' })
  }

  /** Since when what is stored may be believed, as the store has it now; undefined: nothing that is there will be. */
  async believedSince(): Promise<number | undefined> {
    const { read, hasMissed, since } = await this.update(() => undefined)
    // Whoever switches reads on again sees to it that nothing of before is read.
    return !read && hasMissed ? undefined : since
  }

  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#stopListening()
    clearTimeout(this.#timer)
    await this.#attending
    await this.update((board) => leave(board, this.id)).catch(() => undefined)
  }

  #attendForEver(): Promise<void> {
    this.#attending ??= this.#attend().finally(() => {
      this.#attending = undefined
      this.#schedule(this.#isDown ? AGAIN_MS : EVERY_MS)
    })
    return this.#attending
  }

  #schedule(ms: number): void {
    clearTimeout(this.#timer)
    // Unreferenced: a process that has nothing else to do may end.
    if (!this.#isClosed) this.#timer = setTimeout(() => void this.#attendForEver(), ms).unref()
  }

  async #attend(): Promise<void> {
    const startedAt = performance.now()
    try {
      await this.update((board, nowMs) => {
        // Gone by from before it is signed: whoever reads the signature may rely on it.
        this.#board = board
        return attend(board, this.id, nowMs, LEASE_MS)
      })
    } catch (error) {
      this.failed(error)
      return
    }
    // Lost again in the meantime, or only just found: who could not apply an invalidation has to say so first.
    if (this.#isDown && performance.now() - this.#brokenAt < RETURN_MS) return
    this.#validUntil = startedAt + LEASE_MS
    this.#isDown = false
  }
}
