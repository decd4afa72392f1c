import { PostcommitError } from '../protocol/errors.ts'
import type { Verification } from './verify.ts'

/** Told of a value that is not what the database holds. */
export type OnInconsistent = (error: unknown, about: { readonly what: 'inconsistent'; readonly key: string }) => void

const WAITING_MAX = 1000

/** Comparisons that wait for their time. More than can be made are left out: they are samples. */
export class LaterComparisons {
  readonly #onInconsistent: OnInconsistent
  readonly #timers = new Set<NodeJS.Timeout>()
  #running = 0

  constructor(onInconsistent: OnInconsistent) {
    this.#onInconsistent = onInconsistent
  }

  add(compare: () => Promise<Verification>, afterMs: number): void {
    if (this.#timers.size + this.#running >= WAITING_MAX) return
    const timer = setTimeout(() => {
      this.#timers.delete(timer)
      void this.#run(compare)
    }, afterMs).unref()
    this.#timers.add(timer)
  }

  stop(): void {
    for (const timer of this.#timers) clearTimeout(timer)
    this.#timers.clear()
  }

  async #run(compare: () => Promise<Verification>): Promise<void> {
    this.#running += 1
    // What cannot be compared now says nothing about the cache; whoever reads meets the same error.
    const found = await compare().catch(() => undefined)
    this.#running -= 1
    for (const { key } of found?.inconsistent ?? []) {
      this.#onInconsistent(new PostcommitError('POSTCOMMIT_CACHE_INCONSISTENT', { key }), { what: 'inconsistent', key })
    }
  }
}
