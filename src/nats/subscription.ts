import { PostcommitError } from '../protocol/errors.ts'
import { Ack, parseAckSubject } from './ack-subject.ts'
import { type NextStep, nextStep, type Outcome } from './attempt.ts'
import { type ConsumerInfo, selectConsumer } from './consumer-info.ts'
import { idOf, publishDeadLetter } from './dead-letter.ts'
import { ensureConsumer } from './ensure-consumer.ts'
import { Feed } from './feed.ts'
import { createGate } from './gate.ts'
import { createLanes, type Entry } from './lanes.ts'
import type { NatsConnectionLike, NatsMessage } from './nats-connection.ts'
import { DEAD_LETTER_ORIGIN, header, laneOf } from './read-delivery.ts'
import { openRequests } from './requests.ts'
import type { CompiledOptions, SubscriptionTrouble } from './subscribe-options.ts'

/** A subscription under way. */
export interface Subscription extends AsyncDisposable {
  /** What it is doing now and has done since it started. */
  readonly stats: SubscriptionStats
  /** Resolves when nothing is received any more: after `stop()`, or because the connection was closed. */
  readonly closed: Promise<void>
  /**
   * Stops: receives no more, hands back what has not begun, lets what runs finish and acknowledges it, then resolves.
   * After `timeoutMs` (default 30000) it no longer waits for handlers; what they were at is delivered again.
   * Call it before closing the connection.
   */
  stop(options?: { readonly timeoutMs?: number }): Promise<void>
}

/** Numbers of a subscription. */
export interface SubscriptionStats {
  /** `detached`: the server, stream or consumer cannot be reached at the moment. */
  readonly state: 'attached' | 'detached' | 'stopping' | 'stopped'
  /** Handlers running now. */
  readonly running: number
  /** Messages delivered and not settled, running ones included. */
  readonly unsettled: number
  /** Of those, waiting for their next attempt. */
  readonly paused: number
  /** Since the start: handled, `duplicates` included. */
  readonly handled: number
  /** Handled, but the inbox had seen them before. */
  readonly duplicates: number
  /** Failed attempts. */
  readonly failed: number
  readonly deadLettered: number
}

/** What a subscription is made of. */
export interface SubscriptionParts {
  readonly connection: NatsConnectionLike
  readonly options: CompiledOptions
  readonly attempt: (message: NatsMessage, attempt: number) => Promise<Outcome>
  readonly onError: (error: unknown, about: SubscriptionTrouble) => void
}

const SETTLED_MAX = 8192
const LOOK_AGAIN_MS = 200
const RECALLS_MAX = 3
const STOP_TIMEOUT_MS = 30_000
const FLUSH_TIMEOUT_MS = 5_000

/** The messages of one durable consumer, from delivery to acknowledgement. */
export class DurableSubscription implements Subscription {
  readonly closed: Promise<void>
  readonly #parts: SubscriptionParts
  readonly #prefetch: number
  readonly #lanes
  readonly #gate = createGate()
  readonly #requests
  readonly #feed: Feed
  readonly #running = new Set<Promise<void>>()
  readonly #pauses = new Map<Entry<NatsMessage>, NodeJS.Timeout>()
  /** When the server last heard of a message, or was last asked for it. */
  readonly #touchedMs = new WeakMap<Entry<NatsMessage>, number>()
  readonly #recalls = new WeakMap<Entry<NatsMessage>, number>()
  readonly #counts = { handled: 0, duplicates: 0, failed: 0, deadLettered: 0 }
  #state: 'running' | 'stopping' | 'stopped' = 'running'
  #ackWaitMs = 0
  #gateDeadlineMs = 0
  #progress: NodeJS.Timeout | undefined
  #look: NodeJS.Timeout | undefined
  #newestStamp: string | undefined
  #stopped: Promise<void> | undefined
  #close: () => void = () => undefined

  constructor(parts: SubscriptionParts) {
    const { connection, options } = parts
    const { consumer, concurrency, inboxSubject } = options
    this.#parts = parts
    this.#prefetch = Math.max(32, 2 * concurrency)
    this.#lanes = createLanes<NatsMessage>({ waitingMax: 4 * this.#prefetch, settledMax: SETTLED_MAX })
    this.#requests = openRequests(connection, `${inboxSubject}.r`)
    this.#closeGate()
    this.#feed = new Feed({
      connection,
      stream: consumer.stream,
      durable: consumer.durable,
      inbox: `${inboxSubject}.p`,
      ensure: () => ensureConsumer(this.#requests, { ...consumer, resumeAt: this.#resumeAt() }),
      onAttached: (info) => this.#attached(info),
      onDetached: () => this.#closeGate(),
      onMessage: (message) => this.#receive(message),
      onEnded: () => this.#pump(),
      onError: (error, retryInMs) => this.#report(error, { what: 'consumer', retryInMs }),
    })
    this.closed = new Promise((resolve) => {
      this.#close = resolve
    })
    void connection.closed().then(() => this.#connectionClosed())
  }

  get stats(): SubscriptionStats {
    const attached = this.#feed.isAttached ? 'attached' : 'detached'
    return {
      state: this.#state === 'running' ? attached : this.#state,
      running: this.#running.size,
      unsettled: this.#lanes.size,
      paused: this.#pauses.size,
      ...this.#counts,
    }
  }

  /** @throws `POSTCOMMIT_CONSUMER_MISMATCH`; then the subscription is stopped. */
  async start(): Promise<void> {
    try {
      await this.#feed.start()
    } catch (error) {
      await this.stop()
      throw error
    }
  }

  stop({ timeoutMs = STOP_TIMEOUT_MS }: { readonly timeoutMs?: number } = {}): Promise<void> {
    this.#stopped ??= this.#state === 'stopped' ? Promise.resolve() : this.#wind(timeoutMs)
    return this.#stopped
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }

  #receive(message: NatsMessage): void {
    const { stream, durable } = this.#parts.options.consumer
    const { reply = '' } = message
    const ack = parseAckSubject(reply)
    if (ack?.stream !== stream || ack.consumer !== durable) return
    const { sequence, stamp } = ack
    this.#newestStamp = stamp
    const key = laneOf(message, `${stream}.${durable}`)
    const arrival = this.#lanes.arrive({ sequence, stamp, key, reply, content: message })
    if (arrival === 'settled') this.#say(reply, Ack.Done)
    if (arrival !== 'known') this.#gate.arrived(sequence)
    this.#lanes.setGate(this.#gate.isOpen)
    this.#pump()
  }

  /** Starts what can be started, calls back what is needed next, asks for more. */
  #pump(): void {
    if (this.#state !== 'running') return
    const { concurrency } = this.#parts.options
    while (this.#running.size < concurrency) {
      const next = this.#lanes.take()
      if (next === undefined) break
      const run = this.#run(next.entry, next.content).finally(() => {
        this.#running.delete(run)
        this.#pump()
      })
      this.#running.add(run)
    }
    const wanted = this.#prefetch - this.#lanes.ready - this.#running.size
    for (const entry of this.#lanes.recall(wanted - this.#lanes.recalled)) {
      this.#touchedMs.set(entry, performance.now())
      this.#say(entry.reply, Ack.Again)
    }
    this.#feed.ask(wanted)
  }

  async #run(entry: Entry<NatsMessage>, message: NatsMessage): Promise<void> {
    const { attempt, options } = this.#parts
    const number = entry.failures + 1
    const outcome = await attempt(message, number)
    if (outcome.kind === 'failed') this.#counts.failed += 1
    const isOwnDeadLetter = header(message.headers, DEAD_LETTER_ORIGIN) === this.#origin
    const hasDeadLetter = options.deadLetterSubject !== undefined && !isOwnDeadLetter
    const step = nextStep(outcome, number, { ...options, hasDeadLetter }, Math.random())
    switch (step.kind) {
      case 'settle':
        this.#counts.handled += 1
        if (outcome.kind === 'handled' && outcome.duplicate) this.#counts.duplicates += 1
        this.#settle(entry, Ack.Done)
        break
      case 'bury':
        await this.#bury(entry, message, step.error)
        break
      case 'put-off':
        this.#putOff(entry, step)
        this.#report(step.error, { what: 'handle', id: idOf(message), attempt: number, retryInMs: step.afterMs })
        break
    }
  }

  async #bury(entry: Entry<NatsMessage>, message: NatsMessage, error: unknown): Promise<void> {
    const { deadLetterSubject = '', consumer, backOff } = this.#parts.options
    const attempt = entry.failures + 1
    const about = { what: 'dead-letter', id: idOf(message), attempt } as const
    try {
      const { stream, durable } = consumer
      await publishDeadLetter(this.#requests, deadLetterSubject, message, { stream, durable, attempts: attempt, error })
      this.#counts.deadLettered += 1
      this.#settle(entry, Ack.Never)
      this.#report(error, about)
    } catch (failure) {
      const { baseMs: afterMs } = backOff
      this.#putOff(entry, { kind: 'put-off', error: failure, afterMs, failed: false })
      this.#report(failure, { ...about, retryInMs: afterMs })
    }
  }

  #settle(entry: Entry<NatsMessage>, ack: string): void {
    if (this.#lanes.settle(entry)) this.#say(entry.reply, ack)
  }

  #putOff(entry: Entry<NatsMessage>, { afterMs, failed }: Extract<NextStep, { kind: 'put-off' }>): void {
    this.#lanes.pause(entry, failed)
    if (this.#state !== 'running') return this.#say(entry.reply, Ack.Again)
    const timer = setTimeout(() => {
      this.#pauses.delete(entry)
      this.#lanes.resume(entry)
      this.#pump()
    }, afterMs)
    this.#pauses.set(entry, timer)
  }

  #closeGate(): void {
    this.#gate.close()
    this.#lanes.setGate(false)
    clearTimeout(this.#look)
  }

  #attached(info: ConsumerInfo): void {
    const { deliveredThrough, settledThrough } = info.progress
    this.#ackWaitMs = info.config.ackWaitMs
    clearInterval(this.#progress)
    this.#progress = setInterval(() => this.#keepWaiting(), this.#ackWaitMs / 4)
    // Acknowledgements of ours may have died with the connection. Asking for those messages again is harmless where
    // they arrived, and where not it shows which message it is, which a second acknowledgement would only assume.
    for (const reply of this.#lanes.settledBetween(settledThrough, deliveredThrough)) this.#say(reply, Ack.Again)
    this.#gateDeadlineMs = performance.now() + 1.5 * this.#ackWaitMs
    this.#lookAt(info)
    this.#pump()
  }

  #lookAt({ progress }: ConsumerInfo): void {
    this.#gate.look(progress, this.#lanes.countThrough(progress.deliveredThrough))
    if (performance.now() >= this.#gateDeadlineMs) this.#gate.open()
    this.#lanes.setGate(this.#gate.isOpen)
    clearTimeout(this.#look)
    if (!this.#gate.isOpen) this.#look = setTimeout(() => void this.#lookAgain(), LOOK_AGAIN_MS)
  }

  async #lookAgain(): Promise<void> {
    const info = await this.#select()
    if (this.#gate.isOpen || !this.#feed.isAttached) return
    if (info === undefined) this.#look = setTimeout(() => void this.#lookAgain(), LOOK_AGAIN_MS)
    else this.#lookAt(info)
    this.#pump()
  }

  async #select(): Promise<ConsumerInfo | undefined> {
    const { stream, durable } = this.#parts.options.consumer
    return await selectConsumer(this.#requests, stream, durable).catch(() => undefined)
  }

  /** Tells the server that everything not settled is being worked at, but for what it was asked to deliver again. */
  #keepWaiting(): void {
    if (!this.#feed.isAttached && this.#state === 'running') return
    const nowMs = performance.now()
    const overdue: Entry<NatsMessage>[] = []
    for (const entry of this.#lanes.entries) {
      if (!entry.isRecalled) this.#say(entry.reply, Ack.Working)
      else if (nowMs - (this.#touchedMs.get(entry) ?? nowMs) > 2 * this.#ackWaitMs) overdue.push(entry)
    }
    if (overdue.length > 0) void this.#lookFor(overdue)
  }

  /** A recalled message that does not come may have been purged from the stream; its key must not wait for it. */
  async #lookFor(overdue: readonly Entry<NatsMessage>[]): Promise<void> {
    const info = await this.#select()
    if (info === undefined) return
    for (const entry of overdue) {
      const recalls = (this.#recalls.get(entry) ?? 0) + 1
      this.#recalls.set(entry, recalls)
      if (!entry.isRecalled) continue
      const isSettled = entry.sequence <= info.progress.settledThrough
      if (isSettled || recalls > RECALLS_MAX) this.#lanes.drop(entry)
      else this.#lanes.recallAgain(entry)
    }
    this.#pump()
  }

  async #wind(timeoutMs: number): Promise<void> {
    this.#state = 'stopping'
    this.#clearTimers()
    const { connection } = this.#parts
    await within(FLUSH_TIMEOUT_MS, this.#feed.drain())
    // nats-server 2.9 notices only now that our requests have nobody behind them any more. If it found that out while
    // delivering what is handed back below, it would lose sight of one message until the wait for its answer is over.
    await within(FLUSH_TIMEOUT_MS, this.#select())
    const idle = [...this.#lanes.entries].filter(({ phase }) => phase !== 'running')
    for (const { reply } of idle.sort((a, b) => a.sequence - b.sequence)) this.#say(reply, Ack.Again)
    for (const entry of idle) this.#lanes.drop(entry)
    await within(timeoutMs, Promise.all(this.#running))
    clearInterval(this.#progress)
    this.#requests.close()
    if (!connection.isClosed()) await within(FLUSH_TIMEOUT_MS, connection.flush())
    this.#state = 'stopped'
    this.#close()
  }

  #connectionClosed(): void {
    if (this.#state !== 'running') return
    this.#state = 'stopped'
    this.#clearTimers()
    clearInterval(this.#progress)
    void this.#feed.drain()
    this.#requests.close()
    const { durable } = this.#parts.options.consumer
    this.#report(new PostcommitError('POSTCOMMIT_CONNECTION_CLOSED', { durable }), { what: 'consumer' })
    this.#close()
  }

  #clearTimers(): void {
    clearTimeout(this.#look)
    for (const timer of this.#pauses.values()) clearTimeout(timer)
    this.#pauses.clear()
  }

  /** The stamp of the oldest message that is not settled, or else of the newest there was. */
  #resumeAt(): string | undefined {
    const [oldest] = [...this.#lanes.entries].sort((a, b) => a.sequence - b.sequence)
    return oldest?.stamp ?? this.#newestStamp
  }

  get #origin(): string {
    const { stream, durable } = this.#parts.options.consumer
    return `${stream}.${durable}`
  }

  #say(reply: string, ack: string): void {
    // A closed connection takes no answer; the message is delivered again, which it has to bear anyway.
    if (!this.#parts.connection.isClosed()) this.#parts.connection.publish(reply, ack)
  }

  #report(error: unknown, about: SubscriptionTrouble): void {
    try {
      this.#parts.onError(error, about)
    } catch (failure) {
      process.emitWarning(failure instanceof Error ? failure : String(failure))
    }
  }
}

/** Waits for a promise, but not longer; it may go on. */
async function within(ms: number, promise: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const timeout = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms)
  })
  await Promise.race([promise.catch(() => undefined), timeout])
  clearTimeout(timer)
}
