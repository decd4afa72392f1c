import {
  connect,
  type NatsConnection,
  type NodeConnectionOptions,
  PermissionViolationError,
} from '@nats-io/transport-node'
import { within } from 'postcommit/protocol'
import type { PublishVerdict, WithheldCause } from '../engine/publish-ack.ts'
import { WakeSignal } from '../wake-signal.ts'
import { type AckMultiplexer, createAckMultiplexer } from './ack-multiplexer.ts'
import type { BrokerMessage } from './broker-message.ts'
import { SortedPublishing } from './sorted-publishing.ts'

/** Something that keeps messages from the broker. Times are milliseconds from now. */
export interface BrokerTrouble {
  /** `nats`: the broker as a whole; else a subject or a stream: `subject order.placed`, `stream ORDERS`. */
  readonly scope: string
  readonly cause: string
  readonly error: string
  readonly forMs: number
  readonly nextProbeInMs: number
}

/** Publishes to JetStream and reports what became of it; survives restarts of the server without losing its callers. */
export interface Broker {
  /** Whether the connection is up. */
  readonly connected: boolean
  /** Sends a message; `settle` is called exactly once. Nothing is buffered while the connection is down. */
  publish(message: BrokerMessage, settle: (verdict: PublishVerdict) => void): void
  /** What keeps messages from it at the moment, the broker as a whole first. */
  trouble(): readonly BrokerTrouble[]
  /** Subjects and streams that take nothing at the moment. */
  readonly refusals: {
    /** Whether it is being probed, so that no other message is needed for it. */
    isLookedAfter(scope: string): boolean
    forget(scope: string): void
  }
  /** Has `listener` called with each subject or stream that takes messages again. Returns how to have it called no more. */
  whenCleared(listener: (scope: string) => void): () => void
  /**
   * Has `check` done whenever the connection is back, before anything is published over it; no longer than some seconds.
   * Returns how to have it done no more.
   */
  beforeResuming(check: (nc: NatsConnection) => Promise<void>): () => void
  /** Lets nothing through, has everything checked as after a reconnect, and goes on. */
  recheck(): Promise<void>
  /** The connection, for administration. Waits for the first connect; rejects if the broker is closed before it. */
  connection(): Promise<NatsConnection>
  close(): Promise<void>
}

/** How to reach NATS. */
export interface BrokerOptions {
  readonly connection: NodeConnectionOptions
  /** How long an acknowledgement may take, milliseconds. */
  readonly ackTimeoutMs: number
  readonly onConnected: () => void
  /** Done whenever the connection is back, before the checks: makes what they compare with. */
  readonly prepareStreams?: (nc: NatsConnection) => Promise<void>
  /** JetStream has said that no stream takes a subject. */
  readonly onNoStream?: () => void
  readonly onTrouble: (event: 'unreachable' | 'disconnected' | 'error', detail: string) => void
  /** A subject or stream has refused a message. */
  readonly onWithheld: (withheld: { scope: string; cause: WithheldCause; error: string }) => void
  readonly onCleared: (scope: string) => void
  /** The stream that is configured for a subject; undefined: any. */
  readonly expectedStream?: (subject: string) => string | undefined
}

const RECONNECT_MS = 250
const FIRST_CONNECT_CAP_MS = 2000
const API_TIMEOUT_MS = 2000
/** A JetStream that does not answer takes no messages either; one that may not be asked must not stop everything. */
const CHECK_TIMEOUT_MS = 5000
/** Questions about subjects under way at once. A broker that hangs would otherwise get one for each message in flight. */
const QUESTIONS_MAX = 20
/** Longer overdue than a probe takes: it is lost, and another message has to be found for it. */
const PROBE_GRACE_MS = 2000

/** Connects in the background, and again whenever the connection is lost. */
export function openBroker(options: BrokerOptions): Broker {
  return new NatsBroker(options)
}

class NatsBroker implements Broker {
  readonly #options: BrokerOptions
  readonly #opening: Promise<NatsConnection>
  readonly #questions = new Map<string, Promise<readonly string[] | undefined>>()
  readonly #listeners = new Set<(scope: string) => void>()
  readonly #sorted: SortedPublishing
  /** Since when nothing gets through, and why. */
  #away: { readonly sinceMs: number; readonly error: string } | undefined
  readonly #signal = new WakeSignal()
  readonly #checks = new Set<(nc: NatsConnection) => Promise<void>>()
  /** How often the connection was lost: what is seen to before that is of no use after it. */
  #losses = 0
  #acks: AckMultiplexer | undefined
  #connected = false
  #closed = false

  constructor(options: BrokerOptions) {
    this.#options = options
    this.#sorted = new SortedPublishing({
      send: (message, settle) => {
        if (this.#acks !== undefined && this.#connected) this.#acks.publish(message, settle)
        else settle({ kind: 'outage', error: 'not connected to NATS' }, 0)
      },
      ackTimeoutMs: options.ackTimeoutMs,
      streamsOf: (subject) => this.#streamsOf(subject),
      subjectsOf: (stream) => this.#subjectsOf(stream),
      expectedStream: options.expectedStream ?? (() => undefined),
      onAcked: () => {
        this.#away = undefined
      },
      onOutage: (error) => this.#isAway(error),
      onWithheld: options.onWithheld,
      onCleared: (scope) => {
        options.onCleared(scope)
        for (const listener of this.#listeners) listener(scope)
      },
    })
    this.#opening = this.#open()
    this.#opening.catch(() => undefined)
  }

  get connected(): boolean {
    return this.#connected
  }

  publish(message: BrokerMessage, settle: (verdict: PublishVerdict) => void): void {
    this.#sorted.publish(message, settle)
  }

  trouble(): readonly BrokerTrouble[] {
    const now = performance.now()
    const refusals = this.#sorted.refusals.list().map(({ scope, cause, error, sinceMs, nextProbeMs }) => ({
      scope,
      cause,
      error,
      forMs: now - sinceMs,
      nextProbeInMs: Math.max(0, nextProbeMs - now),
    }))
    if (this.#away === undefined) return refusals
    const { error, sinceMs } = this.#away
    return [{ scope: 'nats', cause: 'outage', error, forMs: now - sinceMs, nextProbeInMs: 0 }, ...refusals]
  }

  get refusals(): Broker['refusals'] {
    const { refusals } = this.#sorted
    return {
      isLookedAfter: (scope) => refusals.isLookedAfter(scope, performance.now(), PROBE_GRACE_MS),
      forget: (scope) => void refusals.forget(scope),
    }
  }

  whenCleared(listener: (scope: string) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  beforeResuming(check: (nc: NatsConnection) => Promise<void>): () => void {
    this.#checks.add(check)
    return () => this.#checks.delete(check)
  }

  async recheck(): Promise<void> {
    if (!this.#connected) return
    this.#connected = false
    await this.#resume(await this.#opening)
  }

  connection(): Promise<NatsConnection> {
    return this.#opening
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#signal.call()
    this.#acks?.close()
    const nc = await this.#opening.catch(() => undefined)
    await nc?.close()
  }

  /** The client's own waiting for a first connection cannot be ended; this one can. */
  async #open(): Promise<NatsConnection> {
    const { connection, ackTimeoutMs, onTrouble } = this.#options
    for (let pauseMs = RECONNECT_MS; !this.#closed; pauseMs = Math.min(FIRST_CONNECT_CAP_MS, 2 * pauseMs)) {
      try {
        const nc = await connect({ ...STEADY, ...connection })
        this.#acks = createAckMultiplexer(nc, connection.inboxPrefix, ackTimeoutMs)
        void this.#watch(nc, this.#acks)
        this.#up()
        return nc
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error)
        this.#isAway(reason)
        onTrouble('unreachable', reason)
        await this.#signal.wait(pauseMs)
      }
    }
    throw new Error('closed before the first connection')
  }

  async #watch(nc: NatsConnection, acks: AckMultiplexer): Promise<void> {
    for await (const status of nc.status()) {
      switch (status.type) {
        case 'disconnect':
          this.#connected = false
          this.#losses += 1
          this.#isAway('the connection to NATS was lost')
          acks.failAll('the connection to NATS was lost')
          if (!this.#closed) this.#options.onTrouble('disconnected', status.server)
          break
        case 'reconnect':
          void this.#resume(nc)
          break
        case 'error':
          if (isDenied(status.error)) acks.deny(status.error.subject, status.error.message)
          else this.#options.onTrouble('error', status.error.message)
          break
        default:
      }
    }
    this.#connected = false
    acks.failAll('the connection to NATS is closed')
  }

  async #resume(nc: NatsConnection): Promise<void> {
    const losses = this.#losses
    await within(CHECK_TIMEOUT_MS, this.#check(nc), () => undefined)
    if (losses === this.#losses && !this.#closed) this.#up()
  }

  async #check(nc: NatsConnection): Promise<void> {
    await this.#options.prepareStreams?.(nc).catch(() => undefined)
    await Promise.allSettled([...this.#checks].map((check) => check(nc)))
  }

  #up(): void {
    this.#connected = true
    this.#away = undefined
    this.#options.onConnected()
  }

  #isAway(error: string): void {
    this.#away = { sinceMs: this.#away?.sinceMs ?? performance.now(), error }
  }

  /** Which streams take `subject`; undefined if JetStream does not answer. */
  async #streamsOf(subject: string): Promise<readonly string[] | undefined> {
    // A whole window may be refused at once; one question a subject is enough for all of it.
    const known = this.#questions.get(subject)
    if (known !== undefined) return await known
    if (this.#questions.size >= QUESTIONS_MAX) return undefined
    const asked = this.#ask<{ streams?: string[] | null }>('STREAM.NAMES', { subject })
    const streams = asked.then((answer) => (answer === undefined ? undefined : (answer.streams ?? [])))
    void streams.then((found) => {
      if (found?.length === 0) this.#options.onNoStream?.()
    })
    this.#questions.set(subject, streams)
    return await streams.finally(() => this.#questions.delete(subject))
  }

  async #subjectsOf(stream: string): Promise<readonly string[]> {
    const answer = await this.#ask<{ config?: { subjects?: string[] } }>(`STREAM.INFO.${stream}`, {})
    return answer?.config?.subjects ?? []
  }

  async #ask<T>(what: string, body: object): Promise<T | undefined> {
    try {
      const nc = this.#connected ? await this.#opening : undefined
      const message = await nc?.request(`$JS.API.${what}`, JSON.stringify(body), { timeout: API_TIMEOUT_MS })
      const answer = message?.json<T & { readonly error?: unknown }>()
      return answer?.error === undefined ? answer : undefined
    } catch {
      return undefined
    }
  }
}

/** The server says it of the connection; the publish itself gets no answer. */
function isDenied(error: Error): error is PermissionViolationError {
  return error instanceof PermissionViolationError && error.operation === 'publish'
}

const STEADY: NodeConnectionOptions = {
  name: 'postcommit relay',
  maxReconnectAttempts: -1,
  reconnectTimeWait: RECONNECT_MS,
  pingInterval: 10_000,
  maxPingOut: 3,
  // Without it the client builds two stack traces for every publish: 43,000 instead of 24,000 a second.
  noAsyncTraces: true,
}
