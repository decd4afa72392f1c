import type { NodeConnectionOptions } from '@nats-io/transport-node'
import type { Logger } from 'pino'
import { NATS_DESTINATION } from 'postcommit/protocol'
import { stagesIds } from '../engine/nats-version.ts'
import type { WithheldCause } from '../engine/publish-ack.ts'
import { takesSubject } from '../engine/subject-filter.ts'
import { collapseLog } from '../observe/collapsed-log.ts'
import type { Metrics } from '../observe/metrics.ts'
import { WakeSignal } from '../wake-signal.ts'
import { type Broker, type BrokerTrouble, openBroker } from './broker.ts'
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
const CAUSES: readonly WithheldCause[] = ['full', 'sealed', 'missing', 'denied', 'foreign', 'silent']
/** Subjects for which the configured stream is remembered: it is asked for with every acknowledgement. */
const SUBJECTS_MAX = 5000

/** The broker of a relay. Publishing begins when the configured streams have been seen to be safe, not before. */
export class Publishing {
  readonly broker: Broker
  readonly #options: PublishingOptions
  readonly #watch: StreamWatch
  readonly #signal = new WakeSignal()
  #isSafe = false
  #isWarned = false
  #problemSince = 0
  #gaveUp = false
  #problem: string | undefined

  constructor(options: PublishingOptions) {
    const { metrics, log, streams = [], ackTimeoutMs = ACK_TIMEOUT_MS } = options
    const lines = collapseLog()
    this.#options = options
    this.broker = openBroker({
      connection: options.connection,
      ackTimeoutMs,
      onConnected: () => metrics.natsConnected.set(1),
      prepareStreams: async (nc) => (this.#isSafe ? await this.#watch.restore(nc) : undefined),
      onNoStream: () => this.#watch.lookSoon(),
      onTrouble: (event, detail) => {
        metrics.natsConnected.set(this.broker.connected ? 1 : 0)
        lines.add(`${event} ${detail}`, (count) => log.warn({ event, detail, count }, 'NATS'))
      },
      onWithheld: ({ scope, cause, error }) => {
        // Of a cause, not of a subject: a thousand subjects that no stream takes are one mistake.
        lines.add(cause, (count) =>
          log.warn({ scope, cause, error, count }, 'a subject or stream takes no messages; its messages wait'),
        )
      },
      onCleared: (scope) =>
        lines.add(`cleared ${scope}`, (count) =>
          log.info({ scope, count }, 'a subject or stream takes messages again'),
        ),
      expectedStream: expectedStreamOf(options.streams ?? []),
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

  /** What keeps messages from the broker at the moment. */
  trouble(): readonly BrokerTrouble[] {
    const troubles = this.broker.trouble()
    if (this.#problem === undefined || troubles.some(({ scope }) => scope === NATS_DESTINATION)) return troubles
    const forMs = performance.now() - this.#problemSince
    const unsafe = { cause: 'not ready', error: this.#problem, forMs, nextProbeInMs: LOOK_AGAIN_MS }
    return [{ scope: NATS_DESTINATION, ...unsafe }, ...troubles]
  }

  /** Brings the gauges up to date that tell of it. */
  refreshMetrics(): void {
    const { refusedSubjects, brokerUnavailable } = this.#options.metrics
    const troubles = this.trouble()
    const outage = troubles.find(({ scope }) => scope === NATS_DESTINATION)
    brokerUnavailable.set(outage === undefined ? 0 : outage.forMs / 1000)
    const refusals = troubles.filter((trouble) => trouble !== outage)
    for (const cause of CAUSES) {
      refusedSubjects.set({ cause }, refusals.filter((refusal) => refusal.cause === cause).length)
    }
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
        const nc = await this.broker.connection()
        const staging = stagesIds(nc.info?.version ?? '')
        if (staging !== undefined && !this.#isWarned) {
          this.#isWarned = true
          log.warn({ version: nc.info?.version, action: staging.action }, `this nats-server ${staging.problem}`)
        }
        await ensureStreams(nc, streams, horizonMs)
        this.#problem = undefined
        this.#isSafe = true
        return await this.#watch.run()
      } catch (error) {
        if (this.#gaveUp) return
        if (this.#problem === undefined) this.#problemSince = performance.now()
        this.#problem = error instanceof Error ? error.message : String(error)
        log.error({ error: this.#problem }, 'cannot publish')
      }
      await this.#signal.wait(LOOK_AGAIN_MS)
    }
  }
}

/** Which configured stream takes a subject. What no configured one takes may go to any. */
function expectedStreamOf(streams: readonly StreamOptions[]): (subject: string) => string | undefined {
  if (streams.length === 0) return () => undefined
  const known = new Map<string, string | undefined>()
  return (subject) => {
    if (known.has(subject)) return known.get(subject)
    if (known.size >= SUBJECTS_MAX) known.clear()
    const stream = streams.find(({ subjects }) => subjects.some((filter) => takesSubject(filter, subject)))
    known.set(subject, stream?.name)
    return stream?.name
  }
}
