import { connect, type NatsConnection, type NodeConnectionOptions } from '@nats-io/transport-node'
import type { PublishVerdict } from '../engine/publish-ack.ts'
import { WakeSignal } from '../wake-signal.ts'
import { type AckMultiplexer, createAckMultiplexer } from './ack-multiplexer.ts'
import type { BrokerMessage } from './broker-message.ts'

/** Publishes to JetStream and reports what became of it; survives restarts of the server without losing its callers. */
export interface Broker {
  /** Whether the connection is up. */
  readonly connected: boolean
  /** Sends a message; `settle` is called exactly once. Nothing is buffered while the connection is down. */
  publish(message: BrokerMessage, settle: (verdict: PublishVerdict) => void): void
  /** Whether any stream takes `subject`; undefined if JetStream does not answer. */
  hasStream(subject: string): Promise<boolean | undefined>
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
}

const RECONNECT_MS = 250
const FIRST_CONNECT_CAP_MS = 2000
const API_TIMEOUT_MS = 2000
/** A JetStream that does not answer takes no messages either; one that may not be asked must not stop everything. */
const CHECK_TIMEOUT_MS = 5000

/** Connects in the background, and again whenever the connection is lost. */
export function openBroker(options: BrokerOptions): Broker {
  return new NatsBroker(options)
}

class NatsBroker implements Broker {
  readonly #options: BrokerOptions
  readonly #opening: Promise<NatsConnection>
  readonly #questions = new Map<string, Promise<boolean | undefined>>()
  readonly #signal = new WakeSignal()
  readonly #checks = new Set<(nc: NatsConnection) => Promise<void>>()
  /** How often the connection was lost: what is seen to before that is of no use after it. */
  #losses = 0
  #acks: AckMultiplexer | undefined
  #connected = false
  #closed = false

  constructor(options: BrokerOptions) {
    this.#options = options
    this.#opening = this.#open()
    this.#opening.catch(() => undefined)
  }

  get connected(): boolean {
    return this.#connected
  }

  publish(message: BrokerMessage, settle: (verdict: PublishVerdict) => void): void {
    if (this.#acks === undefined || !this.#connected) settle({ kind: 'outage', error: 'not connected to NATS' })
    else this.#acks.publish(message, settle)
  }

  async hasStream(subject: string): Promise<boolean | undefined> {
    // A whole window may be refused at once; one question a subject is enough for all of it.
    const asked = this.#questions.get(subject) ?? this.#askForStream(subject)
    this.#questions.set(subject, asked)
    return await asked.finally(() => this.#questions.delete(subject))
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
        onTrouble('unreachable', error instanceof Error ? error.message : String(error))
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
          acks.failAll('the connection to NATS was lost')
          if (!this.#closed) this.#options.onTrouble('disconnected', status.server)
          break
        case 'reconnect':
          void this.#resume(nc)
          break
        case 'error':
          this.#options.onTrouble('error', status.error.message)
          break
        default:
      }
    }
    this.#connected = false
    acks.failAll('the connection to NATS is closed')
  }

  async #resume(nc: NatsConnection): Promise<void> {
    const losses = this.#losses
    let timer: NodeJS.Timeout | undefined
    const timeout = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, CHECK_TIMEOUT_MS)
    })
    await Promise.race([this.#check(nc), timeout])
    clearTimeout(timer)
    if (losses === this.#losses && !this.#closed) this.#up()
  }

  async #check(nc: NatsConnection): Promise<void> {
    await this.#options.prepareStreams?.(nc).catch(() => undefined)
    await Promise.allSettled([...this.#checks].map((check) => check(nc)))
  }

  #up(): void {
    this.#connected = true
    this.#options.onConnected()
  }

  async #askForStream(subject: string): Promise<boolean | undefined> {
    const nc = this.#connected ? await this.#opening : undefined
    const answer = await nc
      ?.request('$JS.API.STREAM.NAMES', JSON.stringify({ subject }), { timeout: API_TIMEOUT_MS })
      .then((message) => message.json<{ streams?: string[] | null; error?: unknown }>())
      .catch(() => undefined)
    if (answer === undefined || answer.error !== undefined) return undefined
    const exists = (answer.streams ?? []).length > 0
    if (!exists) this.#options.onNoStream?.()
    return exists
  }
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
