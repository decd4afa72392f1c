import { jetstreamManager } from '@nats-io/jetstream'
import type { NatsConnection } from '@nats-io/transport-node'
import type { Logger } from 'pino'
import type { Metrics } from '../observe/metrics.ts'
import { WakeSignal } from '../wake-signal.ts'
import type { Broker } from './broker.ts'
import { findStream, makeStream, type StreamOptions } from './streams.ts'

/** What streams are watched with. */
export interface StreamWatchOptions {
  readonly broker: Broker
  /** Those that are configured. */
  readonly streams: readonly StreamOptions[]
  readonly metrics: Metrics
  readonly log: Logger
}

/** A stream that was removed is noticed so soon at the latest, whether or not anything is published. */
const LOOK_MS = 30_000
/** So soon if a message has found no stream; many may find none. */
const LOOK_SOON_MS = 1000

/**
 * Sees that the streams which a relay publishes to stay there: those that are configured, and those that have acknowledged
 * something to it. One that is gone is an error, whatever follows. If relays may create it, it is made again, with
 * publishing paused and every shard compared with it before anything newer goes out: a stream is never made in the place of
 * a lost one without that what it had is published again.
 */
export class StreamWatch {
  readonly #options: StreamWatchOptions
  readonly #configured: ReadonlyMap<string, StreamOptions>
  readonly #names: Set<string>
  readonly #missing = new Set<string>()
  readonly #signal = new WakeSignal()
  readonly #pause = new WakeSignal()
  #isBlind = false
  /** When one could not be made the last time. */
  #failedAt = Number.NEGATIVE_INFINITY
  #stopped = false

  constructor(options: StreamWatchOptions) {
    this.#options = options
    this.#configured = new Map(options.streams.map((stream) => [stream.name, stream]))
    this.#names = new Set()
    this.include([...this.#configured.keys()])
  }

  /** Why some of what is published does not get through; undefined: no stream is known to be missing. */
  get problem(): string | undefined {
    if (this.#missing.size === 0) return undefined
    return `missing, although it was there: ${[...this.#missing].map((name) => `stream ${name}`).join(', ')}`
  }

  /** Watches these streams as well: they have acknowledged something. */
  include(names: readonly string[]): void {
    const { metrics } = this.#options
    for (const name of names) {
      if (this.#names.has(name)) continue
      this.#names.add(name)
      // Both from the beginning on: a counter that is first seen at one has not increased, for the rules of alerts.
      metrics.streamsLost.inc({ stream: name }, 0)
      metrics.streamMissing.set({ stream: name }, Number.NaN)
    }
  }

  /** Looks soon: a message has found no stream. */
  lookSoon(): void {
    this.#signal.call()
  }

  /** Looks now and every half minute until it is stopped. */
  async run(): Promise<void> {
    while (!this.#stopped) {
      await this.#look().catch((error: unknown) => this.#failed(error))
      const lookedAt = performance.now()
      await this.#signal.wait(LOOK_MS)
      await this.#pause.wait(LOOK_SOON_MS - (performance.now() - lookedAt))
    }
  }

  stop(): void {
    this.#stopped = true
    this.#signal.call()
    this.#pause.call()
  }

  /** Makes what is missing and may be made. Only while nothing is published, and before the shards are compared. */
  async restore(nc: NatsConnection): Promise<void> {
    await this.#note(nc)
    const manager = await jetstreamManager(nc, { checkAPI: false })
    for (const name of this.#missing) {
      const stream = this.#configured.get(name)
      if (stream?.create !== true) continue
      const { log } = this.#options
      try {
        await makeStream(manager, stream)
        this.#missing.delete(name)
        this.#show(name)
        log.warn({ stream: name }, 'the stream is made again')
      } catch (error) {
        this.#failedAt = performance.now()
        log.error({ stream: name, error: textOf(error) }, 'the stream cannot be made again')
      }
    }
  }

  async #look(): Promise<void> {
    const { broker } = this.#options
    if (!broker.connected) return this.#unknown(this.#names)
    await this.#note(await broker.connection())
    const mayBeMade = [...this.#missing].some((name) => this.#configured.get(name)?.create === true)
    // It pauses publishing to all streams: not once a second because one of them cannot be made.
    if (mayBeMade && performance.now() - this.#failedAt >= LOOK_MS) await broker.recheck()
  }

  /** Looks which are there. What cannot be seen of one says nothing about the others. */
  async #note(nc: NatsConnection): Promise<void> {
    const manager = await jetstreamManager(nc, { checkAPI: false })
    const unseen: { readonly name: string; readonly error: unknown }[] = []
    const look = async (name: string) => {
      const isThere = (await findStream(manager, name)) !== undefined
      if (isThere) this.#missing.delete(name)
      else if (!this.#missing.has(name)) this.#lost(name)
      this.#show(name)
    }
    await Promise.all(
      [...this.#names].map((name) => look(name).catch((error: unknown) => unseen.push({ name, error }))),
    )
    this.#unknown(unseen.map(({ name }) => name))
    const [first] = unseen
    if (first !== undefined && !this.#isBlind) {
      this.#options.log.warn({ stream: first.name, error: textOf(first.error) }, 'cannot see whether a stream is there')
    }
    this.#isBlind = first !== undefined
  }

  #failed(error: unknown): void {
    this.#unknown(this.#names)
    this.#options.log.warn({ error: textOf(error) }, 'cannot see whether the streams are there')
  }

  #lost(name: string): void {
    const { metrics, log } = this.#options
    this.#missing.add(name)
    metrics.streamsLost.inc({ stream: name })
    const isMade = this.#configured.get(name)?.create === true
    const next = isMade ? 'it is made again' : 'relays may not create it'
    log.error({ stream: name, next }, 'a stream is gone, and with it what it had acknowledged')
  }

  #show(name: string): void {
    this.#options.metrics.streamMissing.set({ stream: name }, this.#missing.has(name) ? 1 : 0)
  }

  /** A figure that cannot be read is not zero. */
  #unknown(names: Iterable<string>): void {
    for (const name of names) this.#options.metrics.streamMissing.set({ stream: name }, Number.NaN)
  }
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
