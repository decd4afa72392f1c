import { setTimeout as wait } from 'node:timers/promises'
import { PostcommitError } from '../protocol/errors.ts'
import { pauseMs } from './back-off.ts'
import type { ConsumerInfo } from './consumer-info.ts'
import type { NatsConnectionLike, NatsMessage } from './nats-connection.ts'
import { readPullStatus } from './pull-status.ts'
import { createPulls } from './pulls.ts'

/** What a feed needs, and whom it tells. */
export interface FeedOptions {
  readonly connection: NatsConnectionLike
  readonly stream: string
  readonly durable: string
  /** A subject that is ours alone; pull requests are answered one token below it. */
  readonly inbox: string
  /** Finds the consumer or makes it. */
  readonly ensure: () => Promise<ConsumerInfo>
  /** The consumer is there: messages can be asked for. */
  readonly onAttached: (info: ConsumerInfo) => void
  /** What was on its way may be lost. */
  readonly onDetached: () => void
  readonly onMessage: (message: NatsMessage) => void
  /** A request ran out; time to ask again. */
  readonly onEnded: () => void
  readonly onError: (error: unknown, retryInMs: number) => void
}

const EXPIRES_MS = 30_000
const HEARTBEAT_MS = 2_000
/** Two heartbeats and some time for a busy process. */
const SILENCE_MS = 5_000
const RETRY = { baseMs: 500, capMs: 15_000 } as const

/**
 * Brings the messages of a durable consumer: pull requests that overlap, so that there is always one open, and
 * whatever it takes to have them answered again after the server, the connection, the consumer or the stream was
 * away. It never gives up by itself.
 */
export class Feed {
  readonly #options: FeedOptions
  readonly #pulls = createPulls()
  readonly #subscription: ReturnType<NatsConnectionLike['subscribe']>
  readonly #watch: NodeJS.Timeout
  readonly #stop = new AbortController()
  #isAttached = false
  #isConnected = true
  #heardAtMs = performance.now()
  /** Attachments and requests that failed since the server last answered one. */
  #failures = 0
  #wake: (() => void) | undefined

  constructor(options: FeedOptions) {
    this.#options = options
    this.#subscription = options.connection.subscribe(`${options.inbox}.*`, {
      callback: (error, message) => (error === null ? this.#receive(message) : this.#trouble(error.message)),
    })
    this.#watch = setInterval(() => this.#listen(), HEARTBEAT_MS / 2)
    void this.#followConnection().catch(() => undefined)
  }

  get isAttached(): boolean {
    return this.#isAttached
  }

  /**
   * Finds or makes the consumer. Resolves also if it cannot be reached now, and goes on trying.
   * @throws `POSTCOMMIT_CONSUMER_MISMATCH`, which trying again would not change.
   */
  async start(): Promise<void> {
    try {
      this.#attached(await this.#options.ensure())
    } catch (error) {
      if (error instanceof PostcommitError && error.code === 'POSTCOMMIT_CONSUMER_MISMATCH') throw error
      this.#failures = 1
      void this.#attach(error)
    }
  }

  /** Sees to it that about `wanted` messages are on their way. */
  ask(wanted: number): void {
    const missing = wanted - this.#pulls.outstanding
    // A request for every single message would cost as much as the message; half of the window goes unasked.
    if (!this.#isAttached || missing < Math.max(1, wanted / 2)) return
    const { connection, inbox, stream, durable } = this.#options
    const reply = `${inbox}.${this.#pulls.request(missing)}`
    const body = { batch: missing, expires: EXPIRES_MS * 1e6, idle_heartbeat: HEARTBEAT_MS * 1e6 }
    this.#heardAtMs = performance.now()
    connection.publish(`$JS.API.CONSUMER.MSG.NEXT.${stream}.${durable}`, JSON.stringify(body), { reply })
  }

  /** Asks for no more; resolves when what was on its way has come. */
  async drain(): Promise<void> {
    this.#isAttached = false
    this.#stop.abort()
    this.#wake?.()
    clearInterval(this.#watch)
    if (!this.#options.connection.isClosed()) await this.#subscription.drain()
  }

  #receive(message: NatsMessage): void {
    this.#heardAtMs = performance.now()
    if (message.reply?.startsWith('$JS.ACK.') === true) {
      this.#failures = 0
      this.#pulls.delivered()
      this.#options.onMessage(message)
      return
    }
    const token = message.subject.slice(this.#options.inbox.length + 1)
    const status = readPullStatus(message.headers)
    switch (status.kind) {
      case 'heartbeat':
        this.#failures = 0
        break
      case 'ended':
        this.#failures = 0
        this.#pulls.ended(token, status.unfilled)
        this.#options.onEnded()
        break
      case 'trouble':
        this.#trouble(status.reason)
        break
    }
  }

  /** A server that is asked for messages and has none says so; one that says nothing has forgotten the question. */
  #listen(): void {
    if (this.#pulls.open && performance.now() - this.#heardAtMs > SILENCE_MS) this.#detach(undefined)
  }

  #trouble(reason: string): void {
    const { stream, durable } = this.#options
    this.#detach(new PostcommitError('POSTCOMMIT_CONSUMER_UNAVAILABLE', { stream, durable, reason }))
  }

  #detach(error: unknown): void {
    if (!this.#isAttached) return
    this.#isAttached = false
    this.#pulls.reset()
    this.#options.onDetached()
    void this.#attach(error)
  }

  async #attach(error: unknown): Promise<void> {
    let reported = error
    while (!this.#stop.signal.aborted) {
      const retryInMs = this.#failures === 0 ? 0 : pauseMs(RETRY, this.#failures, 0.5 + Math.random() / 2)
      if (reported !== undefined) this.#options.onError(reported, retryInMs)
      this.#failures += 1
      await this.#pause(retryInMs)
      if (this.#stop.signal.aborted) return
      try {
        this.#attached(await this.#options.ensure())
        return
      } catch (failure) {
        reported = failure
      }
    }
  }

  #attached(info: ConsumerInfo): void {
    if (this.#stop.signal.aborted) return
    this.#isAttached = true
    this.#heardAtMs = performance.now()
    this.#options.onAttached(info)
  }

  /** Waits, and then for the connection; both end at once when the feed is drained. */
  async #pause(ms: number): Promise<void> {
    const { signal } = this.#stop
    await wait(ms, undefined, { signal }).catch(() => undefined)
    while (!this.#isConnected && !signal.aborted) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }

  async #followConnection(): Promise<void> {
    for await (const { type } of this.#options.connection.status()) {
      if (this.#stop.signal.aborted) return
      if (type === 'disconnect') {
        this.#isConnected = false
        this.#detach(undefined)
      } else if (type === 'reconnect') {
        this.#isConnected = true
        this.#wake?.()
      }
    }
  }
}
