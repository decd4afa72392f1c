import type { NodeConnectionOptions } from '@nats-io/transport-node'
import type { Logger } from 'pino'
import type { Metrics } from '../observe/metrics.ts'
import { WakeSignal } from '../wake-signal.ts'
import { type Broker, openBroker } from './broker.ts'
import { StreamWatch } from './stream-watch.ts'
import { ensureStreams, type StreamOptions } from './streams.ts'

/** What is published to, and what must be true of it. */
export interface PublishingOptions {
  readonly connection: NodeConnectionOptions
  readonly streams?: readonly StreamOptions[]
  readonly ackTimeoutMs?: number
  readonly leaseMs: number
  readonly metrics: Metrics
  readonly log: Logger
}

const ACK_TIMEOUT_MS = 2000
const LOOK_AGAIN_MS = 2000

/** The broker of a relay. Publishing begins when the configured streams have been seen to be safe, not before. */
export class Publishing {
  readonly broker: Broker
  readonly #options: PublishingOptions
  readonly #watch: StreamWatch
  readonly #signal = new WakeSignal()
  #isSafe = false
  #gaveUp = false
  #problem: string | undefined

  constructor(options: PublishingOptions) {
    const { metrics, log, streams = [], ackTimeoutMs = ACK_TIMEOUT_MS } = options
    this.#options = options
    this.broker = openBroker({
      connection: options.connection,
      ackTimeoutMs,
      onConnected: () => metrics.natsConnected.set(1),
      prepareStreams: async (nc) => (this.#isSafe ? await this.#watch.restore(nc) : undefined),
      onNoStream: () => this.#watch.lookSoon(),
      onTrouble: (event, detail) => {
        metrics.natsConnected.set(this.broker.connected ? 1 : 0)
        log.warn({ event, detail }, 'NATS')
      },
    })
    this.#watch = new StreamWatch({ broker: this.broker, streams, metrics, log })
    void this.#prepare(2 * options.leaseMs + ackTimeoutMs)
  }

  /** The broker, once it may be published to. */
  get safeBroker(): Broker | undefined {
    return this.#isSafe ? this.broker : undefined
  }

  /** Why nothing, or not all, is published although the connection may be up. */
  get problem(): string | undefined {
    return this.#problem ?? this.#watch.problem
  }

  /** Watches the streams that have acknowledged something. */
  watchStreams(names: readonly string[]): void {
    this.#watch.include(names)
  }

  /** Stops looking after streams. */
  giveUp(): void {
    this.#gaveUp = true
    this.#signal.call()
    this.#watch.stop()
  }

  /** @param horizonMs - how long after the first try a message may be published again, by this relay or a successor */
  async #prepare(horizonMs: number): Promise<void> {
    const { streams = [], log } = this.#options
    while (!this.#gaveUp) {
      try {
        await ensureStreams(await this.broker.connection(), streams, horizonMs)
        this.#problem = undefined
        this.#isSafe = true
        return await this.#watch.run()
      } catch (error) {
        if (this.#gaveUp) return
        this.#problem = error instanceof Error ? error.message : String(error)
        log.error({ error: this.#problem }, 'cannot publish')
      }
      await this.#signal.wait(LOOK_AGAIN_MS)
    }
  }
}
