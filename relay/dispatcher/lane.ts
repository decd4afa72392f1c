import type { Logger } from 'pino'
import { failpoint } from 'postcommit/protocol'
import type { Delivery, Destination } from '../destinations/destination.ts'
import { Breaker, type BreakerState, type CallResult } from '../engine/breaker.ts'
import { errorText } from '../engine/error-text.ts'
import type { Outcome } from '../engine/outcome.ts'
import type { Metrics } from '../observe/metrics.ts'
import type { ClaimedDelivery } from '../store/claim-due.ts'
import { Pace } from './pace.ts'
import { readDelivery } from './read-delivery.ts'

/** A claimed delivery. */
export interface Job {
  readonly row: ClaimedDelivery
  readonly token: string
  /** When it was claimed, monotonic milliseconds. */
  readonly claimedAtMs: number
}

/** What a lane reports to. */
export interface LaneOptions {
  readonly source: string
  readonly metrics: Metrics
  readonly log: Logger
  /** Told of every attempt. */
  readonly onOutcome: (job: Job, outcome: Outcome, durationMs: number) => void
}

/**
 * How long a claimed delivery may wait for its turn. Then its destination has become slow, or this process was stopped,
 * and it goes back to whoever has room for it.
 */
const WAIT_MAX_MS = 1000

const GAUGE: Record<BreakerState, number> = { closed: 0, 'half-open': 1, open: 2 }

/**
 * One destination's share of the dispatcher: its slots, what waits for them, and its breaker, so that a slow one slows
 * nobody else.
 *
 * A little more is claimed than there are slots: otherwise they would be empty during every claim, and claims would be
 * made for a few rows each. With one destination of 64 slots that and not asking for what has just been found empty
 * brought 1.2 to 1.4 times the rate, and a delivery costs PostgreSQL 51 µs where it cost 71.
 */
export class Lane {
  readonly #destination: Destination
  readonly #options: LaneOptions
  readonly #signal: AbortSignal
  readonly #breaker = new Breaker()
  readonly #pace = new Pace()
  #waiting: Job[] = []
  #unsent: Job[] = []
  #shown: BreakerState | undefined
  #running = 0
  #probing = 0
  #isClosed = false

  constructor(destination: Destination, signal: AbortSignal, options: LaneOptions) {
    this.#destination = destination
    this.#signal = signal
    this.#options = options
    this.#show()
  }

  /** How many attempts are under way. */
  get running(): number {
    return this.#running
  }

  /** How many deliveries may be claimed now; none while enough of them wait. */
  free(nowMs: number): number {
    const allowed = this.#allowed(nowMs)
    if (this.#breaker.state !== 'closed') return allowed
    const ahead = this.#pace.ahead(nowMs)
    // Claimed when half of them are gone, not one by one.
    if (2 * this.#waiting.length > ahead) return 0
    return allowed + ahead - this.#waiting.length
  }

  /** When its breaker lets a call through again: milliseconds from now; Infinity if it is not open. */
  reopensInMs(nowMs: number): number {
    return this.#breaker.reopensInMs(nowMs)
  }

  /** Delivers as soon as there is a slot, or gives it out by {@link takeUnsent} if there will be none for long. */
  push(job: Job): void {
    this.#waiting.push(job)
    this.#advance()
  }

  /** What has waited in vain and is to be given back. */
  takeUnsent(): readonly Job[] {
    this.#advance()
    const unsent = this.#unsent
    this.#unsent = []
    return unsent
  }

  /** Starts nothing more. */
  close(): void {
    this.#isClosed = true
    this.#advance()
  }

  #allowed(nowMs: number): number {
    const allowed = this.#breaker.allow(this.#destination.concurrency - this.#running, nowMs)
    this.#show()
    return Math.max(0, this.#breaker.state === 'half-open' ? allowed - this.#probing : allowed)
  }

  #advance(): void {
    const now = performance.now()
    for (;;) {
      const [job] = this.#waiting
      if (job === undefined) return
      const slots = this.#allowed(now)
      const isAway = this.#breaker.state !== 'closed' && slots === 0
      const isInVain = this.#isClosed || isAway || now - job.claimedAtMs > WAIT_MAX_MS
      if (slots === 0 && !isInVain) return
      this.#waiting.shift()
      if (isInVain) this.#unsent.push(job)
      else void this.#deliver(job, now)
    }
  }

  async #deliver(job: Job, startedAtMs: number): Promise<void> {
    const probe = this.#breaker.state === 'half-open' ? 1 : 0
    const { openings } = this.#breaker
    this.#running += 1
    this.#probing += probe
    const outcome = await this.#attempt(job.row)
    const now = performance.now()
    this.#running -= 1
    this.#probing -= probe
    this.#pace.count()
    // A call from before the breaker opened tells what was known then, and must not pass for the probe.
    if (openings === this.#breaker.openings) {
      this.#breaker.record(resultOf(outcome), now, Math.random())
      this.#show()
    }
    this.#options.onOutcome(job, outcome, now - startedAtMs)
    this.#advance()
  }

  /** Makes one attempt. Never rejects: what goes wrong here is an outcome too. */
  async #attempt(row: ClaimedDelivery): Promise<Outcome> {
    const delivery = this.#read(row)
    if ('kind' in delivery) return delivery
    try {
      const outcome = await this.#destination.deliver(delivery, this.#signal)
      failpoint('dispatcher.after_response')
      return outcome.kind === 'confirmed' ? outcome : { ...outcome, error: errorText(outcome.error) }
    } catch (error) {
      return { kind: 'failed', error: textOf(error) }
    }
  }

  #read(row: ClaimedDelivery): Delivery | Extract<Outcome, { kind: 'refused' }> {
    try {
      return readDelivery(this.#options.source, row)
    } catch (error) {
      return { kind: 'refused', error: textOf(error) }
    }
  }

  #show(): void {
    const { state } = this.#breaker
    if (state === this.#shown) return
    const { source, metrics, log } = this.#options
    const destination = this.#destination.name
    metrics.breaker.set({ source, destination }, GAUGE[state])
    if (state === 'open') log.warn({ source, destination }, 'a destination is away; it is called again later')
    if (state === 'closed' && this.#shown !== undefined) log.info({ source, destination }, 'a destination is back')
    this.#shown = state
  }
}

function resultOf(outcome: Outcome): CallResult {
  switch (outcome.kind) {
    case 'confirmed':
    case 'refused':
      return 'ok'
    case 'failed':
      return outcome.ofMessage === true ? 'ok' : 'failed'
    case 'unavailable':
      return 'away'
  }
}

function textOf(error: unknown): string {
  return errorText(error instanceof Error ? error.message : String(error))
}
