/** A value in this process. */
export interface Kept {
  readonly text: string
  readonly revision: number
  readonly claimedAt: number
  /** When its time is over, by the monotonic clock of this process. */
  readonly goneAt: number
}

/** A read of the bucket that is under way. */
interface Reading {
  newest: number
  count: number
}

/**
 * The values of a bucket that this process has read, kept in its memory as long as a watch tells of every change.
 *
 * A read and the news of a later change cross: the read's answer must not be kept after the news has passed. So who
 * reads says so before, and what has become known of the key by the end decides.
 */
export class FirstLevel {
  readonly #entriesMax: number
  readonly #kept = new Map<string, Kept>()
  readonly #readings = new Map<string, Reading>()
  #epoch = 0

  constructor(entriesMax: number) {
    this.#entriesMax = entriesMax
  }

  get(token: string): Kept | undefined {
    const kept = this.#kept.get(token)
    if (kept === undefined || kept.goneAt > performance.now()) return kept
    this.#kept.delete(token)
    return undefined
  }

  /** A read begins; the result is told when it has ended, with what is to be kept, or with nothing. */
  begin(token: string): (found: Kept | undefined) => void {
    const epoch = this.#epoch
    const reading = this.#readings.get(token) ?? { newest: 0, count: 0 }
    reading.count += 1
    this.#readings.set(token, reading)
    return (found) => {
      reading.count -= 1
      if (reading.count === 0) this.#readings.delete(token)
      if (found === undefined || epoch !== this.#epoch || reading.newest > found.revision) return
      this.#keep(token, found)
    }
  }

  /** The key has a new revision. */
  changed(token: string, revision: number): void {
    const reading = this.#readings.get(token)
    if (reading !== undefined) reading.newest = Math.max(reading.newest, revision)
    const kept = this.#kept.get(token)
    if (kept !== undefined && kept.revision < revision) this.#kept.delete(token)
  }

  /** Changes may have been missed: forgets everything, and what is being read now. */
  clear(): void {
    this.#epoch += 1
    this.#kept.clear()
  }

  get size(): number {
    return this.#kept.size
  }

  #keep(token: string, found: Kept): void {
    this.#kept.delete(token)
    this.#kept.set(token, found)
    if (this.#kept.size <= this.#entriesMax) return
    const [oldest] = this.#kept.keys()
    if (oldest !== undefined) this.#kept.delete(oldest)
  }
}
