import { PostcommitError } from '../protocol/errors.ts'
import type { Gid } from '../protocol/gid.ts'
import { LIMITS } from '../protocol/limits.ts'
import { type OperationAnswer, parseAnswers } from '../protocol/transaction-answer.ts'
import { BATCH_PATH, type TransactionOperation } from '../protocol/transaction-request.ts'
import type { Exchange, RelayConnection } from './relay-connection.ts'

/** How operations are sent. */
export interface QueueOptions {
  readonly connection: RelayConnection
  /** For errors. */
  readonly relay: string
  readonly requestTimeoutMs: number
  readonly requestsInFlightMax: number
  readonly operationsPerRequestMax: number
}

interface Waiting {
  readonly gid: Gid
  readonly json: string
  readonly bytes: number
  readonly waitMs: number
  readonly deadline: number
  /** Sent by itself, because a request with others was refused as a whole. */
  alone: boolean
  /** How often the relay has put it off. */
  refusals: number
  readonly resolve: (answer: OperationAnswer) => void
  readonly reject: (error: PostcommitError) => void
}

const ENVELOPE_BYTES = '{"operations":[]}'.length
const PAUSE_BASE_MS = 50
const PAUSE_MAX_MS = 2000
const DEADLINES_EVERY_MS = 100
const OVERDUE_MS = 30
/** So many at once are a crowd, and more are on their way. */
const MANY = 8

/**
 * Sends operations to the relay, as few requests as possible: what is asked for beside one with many goes with the
 * next, when that has been answered or takes longer than it should; beside one with few it goes at once. The relay
 * writes each request with one commit, so this is what makes many transactions at once cheap for it.
 *
 * Whatever is lost is sent again until its deadline; every operation may be repeated, because it carries its gid.
 */
export class OperationQueue {
  readonly #options: QueueOptions
  #waiting: Waiting[] = []
  #inFlight = 0
  #outstanding = 0
  #scheduled = false
  #failures = 0
  #pausedUntil = 0
  #timer: NodeJS.Timeout | undefined
  /** How many went with the latest request. */
  #latest = 0
  /** When those that wait for the answer to a request go without it. */
  #overdue: NodeJS.Timeout | undefined
  #closed = false
  #whenEmpty: (() => void)[] = []

  constructor(options: QueueOptions) {
    this.#options = options
  }

  /**
   * Resolves to the relay's answer, refusals included.
   * @throws `POSTCOMMIT_RELAY_UNREACHABLE`, `POSTCOMMIT_RELAY_REFUSED`, `POSTCOMMIT_RELAY_CLIENT_CLOSED`,
   * `POSTCOMMIT_INVALID_TRANSACTION`.
   */
  async ask(operation: TransactionOperation, timeoutMs: number): Promise<OperationAnswer> {
    if (this.#closed) throw new PostcommitError('POSTCOMMIT_RELAY_CLIENT_CLOSED')
    const json = JSON.stringify(operation)
    const bytes = Buffer.byteLength(json) + 1
    if (bytes + ENVELOPE_BYTES > LIMITS.batchBytes) {
      throw new PostcommitError(
        'POSTCOMMIT_INVALID_TRANSACTION',
        { mode: 'transaction', problems: `TOO_LARGE: it has ${bytes} bytes; the limit is ${LIMITS.batchBytes}` },
        { gid: operation.gid },
      )
    }
    const waitMs = 'waitMs' in operation ? (operation.waitMs ?? 0) : 0
    this.#outstanding += 1
    try {
      return await new Promise((resolve, reject) => {
        const { gid } = operation
        const deadline = performance.now() + waitMs + timeoutMs
        this.#add({ gid, json, bytes, waitMs, deadline, alone: false, refusals: 0, resolve, reject })
      })
    } finally {
      this.#outstanding -= 1
      if (this.#outstanding === 0) for (const tell of this.#whenEmpty.splice(0)) tell()
    }
  }

  /** Takes nothing more, and resolves when everything under way has its answer or has run out of time. */
  async close(): Promise<void> {
    this.#closed = true
    if (this.#outstanding > 0) await new Promise<void>((resolve) => this.#whenEmpty.push(resolve))
    clearTimeout(this.#timer)
    clearTimeout(this.#overdue)
  }

  #add(operation: Waiting): void {
    // An answer that is to wait would hold up those of a whole request.
    if (operation.waitMs > 0) void this.#exchange([operation])
    else {
      this.#waiting.push(operation)
      if (this.#inFlight === 0 || this.#latest < MANY) this.#schedule()
      else this.#overdue ??= setTimeout(() => this.#schedule(), OVERDUE_MS)
    }
  }

  #schedule(): void {
    clearTimeout(this.#overdue)
    this.#overdue = undefined
    if (this.#scheduled || this.#waiting.length === 0 || this.#inFlight >= this.#options.requestsInFlightMax) return
    const pauseMs = this.#pausedUntil - performance.now()
    this.#scheduled = true
    const flush = (): void => {
      this.#scheduled = false
      this.#flush()
    }
    // After the callbacks of this turn, so that the commits that one packet of the database has let go on share a
    // request. In a pause it looks after those whose time is over.
    if (pauseMs <= 0) setImmediate(flush)
    else this.#timer = setTimeout(flush, Math.min(pauseMs, DEADLINES_EVERY_MS))
  }

  #flush(): void {
    const now = performance.now()
    const late = this.#waiting.filter(({ deadline }) => deadline <= now)
    if (late.length > 0) {
      this.#waiting = this.#waiting.filter(({ deadline }) => deadline > now)
      for (const { reject, gid } of late) reject(this.#unreachable('no answer in time', gid))
    }
    if (now < this.#pausedUntil) this.#schedule()
    else {
      while (this.#inFlight < this.#options.requestsInFlightMax && this.#waiting.length > 0) {
        this.#inFlight += 1
        const batch = this.#take()
        this.#latest = batch.length
        void this.#exchange(batch).then(() => {
          this.#inFlight -= 1
          this.#schedule()
        })
      }
    }
  }

  #take(): Waiting[] {
    const [first] = this.#waiting
    let count = 0
    let bytes = ENVELOPE_BYTES
    for (const operation of this.#waiting) {
      bytes += operation.bytes
      if (count > 0 && (operation.alone || first?.alone === true)) break
      if (count === this.#options.operationsPerRequestMax || (count > 0 && bytes > LIMITS.batchBytes)) break
      count += 1
    }
    return this.#waiting.splice(0, count)
  }

  /** Never rejects: every operation of the batch is settled or waits again. */
  async #exchange(batch: readonly Waiting[]): Promise<void> {
    const body = `{"operations":[${batch.map(({ json }) => json).join(',')}]}`
    const now = performance.now()
    const lastDeadline = batch.reduce((last, { deadline }) => Math.max(last, deadline), now + 1)
    const waitMs = batch[0]?.waitMs ?? 0
    const timeoutMs = Math.ceil(Math.min(waitMs + this.#options.requestTimeoutMs, lastDeadline - now))
    try {
      const exchange = await this.#options.connection.post(BATCH_PATH, body, timeoutMs)
      this.#settle(batch, exchange)
    } catch (error) {
      this.#again(batch, error instanceof Error ? error : new Error(String(error)))
    }
  }

  #settle(batch: readonly Waiting[], { status, text, retryAfterMs }: Exchange): void {
    if (status === 200) {
      const answers = parseAnswers(
        text,
        batch.map(({ gid }) => gid),
      )
      // A page of somebody else's, or half an answer: nothing is known.
      if (answers === undefined) this.#again(batch, new Error('its answer is not that of a relay'))
      else this.#answerAll(batch, answers)
    } else if (status === 408 || status === 425 || status === 429 || status >= 500 || status < 200) {
      this.#again(batch, new Error(`it answered ${status}`), retryAfterMs)
    } else if (batch.length > 1 && status !== 401 && status !== 403) {
      // One operation that it cannot read must not take down those of other callers.
      this.#waiting.unshift(...batch.map((operation) => Object.assign(operation, { alone: true })))
      this.#schedule()
    } else {
      const reason = `${status} ${text.slice(0, 200)}`
      for (const { gid, reject } of batch) reject(new PostcommitError('POSTCOMMIT_RELAY_REFUSED', { reason }, { gid }))
    }
  }

  #answerAll(batch: readonly Waiting[], answers: readonly OperationAnswer[]): void {
    this.#failures = 0
    for (const [index, answer] of answers.entries()) {
      const operation = batch[index]
      if (operation === undefined) continue
      // It is about this one alone: the others need not wait.
      if (answer.outcome === 'refused' && answer.retryable) this.#later(operation, new Error(answer.message))
      else operation.resolve(answer)
    }
  }

  /** Nothing is known of a whole request: these again, and all others not before. */
  #again(batch: readonly Waiting[], cause: Error, retryAfterMs = 0): void {
    this.#failures += 1
    const pauseMs = Math.max(Math.min(retryAfterMs, PAUSE_MAX_MS), backOffMs(this.#failures))
    this.#pausedUntil = Math.max(this.#pausedUntil, performance.now() + pauseMs)
    const again = batch.filter((operation) => this.#hasTime(operation, pauseMs, cause))
    for (const operation of again) if (operation.waitMs > 0) setTimeout(() => this.#add(operation), pauseMs)
    this.#waiting.unshift(...again.filter(({ waitMs }) => waitMs === 0))
    this.#schedule()
  }

  #later(operation: Waiting, cause: Error): void {
    operation.refusals += 1
    const pauseMs = backOffMs(operation.refusals)
    if (this.#hasTime(operation, pauseMs, cause)) setTimeout(() => this.#add(operation), pauseMs)
  }

  #hasTime({ deadline, gid, reject }: Waiting, pauseMs: number, cause: Error): boolean {
    if (deadline > performance.now() + pauseMs) return true
    reject(this.#unreachable(cause.message, gid, cause))
    return false
  }

  #unreachable(reason: string, gid: Gid, cause?: unknown): PostcommitError {
    return new PostcommitError('POSTCOMMIT_RELAY_UNREACHABLE', { relay: this.#options.relay, reason }, { gid, cause })
  }
}

/** Exponential, capped, half of it by chance, so that clients that lost the same relay do not come back as one. */
function backOffMs(failures: number): number {
  return Math.min(PAUSE_MAX_MS, PAUSE_BASE_MS * 2 ** Math.min(failures - 1, 10)) * (0.5 + Math.random() / 2)
}
