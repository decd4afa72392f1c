import { Readable } from 'node:stream'
import { shownJson } from '../engine/error-text.ts'
import type { EventRing } from './event-ring.ts'
import type { SourceEvent } from './watch-source.ts'

/** What one listener is sent. */
export interface EventStreamOptions {
  readonly ring: EventRing<SourceEvent>
  /** Names this run of numbers: after a restart the same numbers are other events. */
  readonly epoch: string
  /** The number to begin with. */
  readonly from: number
  /** Told first: why something may be missing. */
  readonly gap?: string | undefined
  /** Only these; undefined: all. Gaps are always told. */
  readonly kinds: ReadonlySet<string> | undefined
}

/** Bytes that wait for a listener; beyond them its place in the ring waits, and is overtaken. */
const BUFFER_BYTES = 64 * 1024

/** The events of one listener as text/event-stream. It is read at the pace of the listener, and holds no more than a buffer. */
export class EventStream extends Readable {
  readonly #options: EventStreamOptions
  #place: number
  #wants = false
  #isEnded = false

  constructor(options: EventStreamOptions) {
    super({ highWaterMark: BUFFER_BYTES })
    this.#options = options
    this.#place = options.from
    // Clients wait this long before they come again.
    this.push('retry: 2000\n\n')
    if (options.gap !== undefined) this.push(this.#text('gap', { reason: options.gap }, options.from - 1))
  }

  override _read(): void {
    this.#wants = true
    this.pump()
  }

  /** Sends what has happened, as far as the listener takes it. */
  pump(): void {
    const { ring, kinds } = this.#options
    while (this.#wants && !this.#isEnded) {
      const found = ring.at(this.#place)
      if (found.kind === 'nothing') return
      if (found.kind === 'missed') {
        this.#place = found.next
        const reason = `the listener was too slow: ${found.count} events are not told`
        this.#wants = this.push(this.#text('gap', { reason, missed: found.count }, found.next - 1))
        continue
      }
      const { kind, data } = found.event.value
      this.#place += 1
      if (kind === 'gap' || (kinds?.has(kind) ?? true))
        this.#wants = this.push(this.#text(kind, data, found.event.number))
    }
  }

  /** A line that says only that the connection is alive; none for a listener that has not taken what there is. */
  beat(): void {
    if (this.#wants && !this.#isEnded) this.#wants = this.push(': alive\n\n')
  }

  /** Says that this is the end, and why; the client may come again. */
  finish(reason: string): void {
    if (this.#isEnded) return
    this.#isEnded = true
    this.push(this.#text('end', { reason }, this.#place - 1))
    this.push(null)
  }

  /** Line breaks in a text from outside are escaped by JSON, so they end no field. */
  #text(event: string, data: object, number: number): string {
    return `id: ${this.#options.epoch}-${number}\nevent: ${event}\ndata: ${shownJson(data)}\n\n`
  }
}
