/** Something that happened, with its number. */
export interface Numbered<T> {
  readonly number: number
  readonly value: T
}

/** What a reader finds at its place. */
export type Found<T> =
  | { readonly kind: 'event'; readonly event: Numbered<T> }
  /** So many were overwritten before they were read; the next is there. */
  | { readonly kind: 'missed'; readonly count: number; readonly next: number }
  | { readonly kind: 'nothing' }

/**
 * The last events, for any number of readers, each of which keeps its own place. A reader that is slow holds nothing: it is
 * told how many it has missed.
 */
export class EventRing<T> {
  readonly #slots: (T | undefined)[]
  #next = 1

  constructor(size: number) {
    this.#slots = new Array<T | undefined>(size)
  }

  /** The number that the next event will have. */
  get next(): number {
    return this.#next
  }

  /** The number of the oldest event that is still there, or of the next one. */
  get oldest(): number {
    return Math.max(1, this.#next - this.#slots.length)
  }

  add(value: T): void {
    this.#slots[this.#next % this.#slots.length] = value
    this.#next += 1
  }

  at(place: number): Found<T> {
    if (place >= this.#next) return { kind: 'nothing' }
    if (place < this.oldest) return { kind: 'missed', count: this.oldest - place, next: this.oldest }
    const value = this.#slots[place % this.#slots.length]
    return value === undefined ? { kind: 'nothing' } : { kind: 'event', event: { number: place, value } }
  }
}
