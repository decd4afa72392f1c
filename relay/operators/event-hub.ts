import { randomBytes } from 'node:crypto'
import type { Readable } from 'node:stream'
import { PostcommitError } from 'postcommit/protocol'
import { EventRing } from './event-ring.ts'
import { EventStream } from './event-stream.ts'
import type { ReadableSource } from './readable-source.ts'
import { type SourceEvent, watchSource } from './watch-source.ts'

/** The limits of an {@link EventHub}; each has a default. */
export interface EventHubLimits {
  readonly listenersMax?: number
  /** Events that are kept for those who come again or are slow. */
  readonly eventsKept?: number
  readonly beatMs?: number
  /** A listener is asked to come again after so long, so that a key that was revoked does not listen for ever. */
  readonly streamMs?: number
  /** Without listeners the databases are watched for so long, for those who come again. */
  readonly lingerMs?: number
}

const LISTENERS_MAX = 32
const EVENTS_KEPT = 4096
const BEAT_MS = 10_000
const STREAM_MS = 10 * 60_000
const LINGER_MS = 30_000
/** How long a listener that was told the end may take to read it. */
const END_MS = 5000

/** One run of watching: the events have their numbers within it. */
interface Run {
  readonly epoch: string
  readonly ring: EventRing<SourceEvent>
  readonly stop: AbortController
  readonly watching: Promise<unknown>
}

/** Tells listeners what happens in source databases. They are watched once for all listeners, and only while there are any. */
export class EventHub {
  readonly #sources: readonly ReadableSource[]
  readonly #limits: Required<EventHubLimits>
  readonly #streams = new Set<EventStream>()
  #run: Run | undefined
  #beat: NodeJS.Timeout | undefined
  #linger: NodeJS.Timeout | undefined
  #isPumping = false

  constructor(sources: readonly ReadableSource[], limits: EventHubLimits = {}) {
    this.#sources = sources
    this.#limits = {
      listenersMax: LISTENERS_MAX,
      eventsKept: EVENTS_KEPT,
      beatMs: BEAT_MS,
      streamMs: STREAM_MS,
      lingerMs: LINGER_MS,
      ...limits,
    }
  }

  /**
   * The events from now on or, for a listener that comes again, from the one behind `lastEventId`.
   * @throws `POSTCOMMIT_TOO_MANY_LISTENERS`.
   */
  listen(lastEventId: string | undefined, kinds: ReadonlySet<string> | undefined): Readable {
    const { listenersMax, streamMs } = this.#limits
    if (this.#streams.size >= listenersMax) {
      throw new PostcommitError('POSTCOMMIT_TOO_MANY_LISTENERS', { limit: listenersMax })
    }
    const { ring, epoch } = this.#watch()
    const stream = new EventStream({ ring, epoch, kinds, ...placeOf(lastEventId, epoch, ring) })
    this.#streams.add(stream)
    const timer = setTimeout(() => end(stream, 'the relay asks to come again'), streamMs)
    stream.once('close', () => {
      clearTimeout(timer)
      this.#streams.delete(stream)
      if (this.#streams.size === 0) this.#rest()
    })
    return stream
  }

  /** Tells every listener that it is the end. */
  async close(): Promise<void> {
    for (const stream of this.#streams) end(stream, 'the relay is being stopped')
    await this.#stop()
  }

  #watch(): Run {
    clearTimeout(this.#linger)
    this.#beat ??= setInterval(() => this.#beatAll(), this.#limits.beatMs)
    this.#run ??= this.#begin()
    return this.#run
  }

  #begin(): Run {
    const stop = new AbortController()
    const ring = new EventRing<SourceEvent>(this.#limits.eventsKept)
    const tell = (event: SourceEvent): void => {
      ring.add(event)
      this.#pumpSoon()
    }
    const watching = Promise.all(this.#sources.map((source) => watchSource(source, tell, stop.signal)))
    return { epoch: randomBytes(4).toString('hex'), ring, stop, watching }
  }

  /** Once for all the events of a look. */
  #pumpSoon(): void {
    if (this.#isPumping) return
    this.#isPumping = true
    setImmediate(() => {
      this.#isPumping = false
      for (const stream of this.#streams) stream.pump()
    })
  }

  #beatAll(): void {
    for (const stream of this.#streams) stream.beat()
  }

  #rest(): void {
    clearInterval(this.#beat)
    this.#beat = undefined
    if (this.#run === undefined) return
    this.#linger = setTimeout(() => void this.#stop(), this.#limits.lingerMs)
    this.#linger.unref()
  }

  async #stop(): Promise<void> {
    clearTimeout(this.#linger)
    clearInterval(this.#beat)
    this.#beat = undefined
    const run = this.#run
    this.#run = undefined
    run?.stop.abort()
    await run?.watching
  }
}

function placeOf(lastEventId: string | undefined, epoch: string, ring: EventRing<SourceEvent>) {
  if (lastEventId === undefined) return { from: ring.next }
  const [, of, number] = /^([0-9a-f]{8})-(\d{1,15})$/.exec(lastEventId) ?? []
  const from = Number(number) + 1
  // A place that was overtaken is told by the ring, with how many were missed.
  if (of === epoch && from <= ring.next) return { from }
  return { from: ring.next, gap: 'it is not known what happened since the last event: the relay did not keep it' }
}

function end(stream: EventStream, reason: string): void {
  stream.finish(reason)
  setTimeout(() => stream.destroy(), END_MS).unref()
}
