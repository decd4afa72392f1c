import type { Logger } from 'pino'
import { failpoint } from 'postcommit/protocol'
import type { Delivery, Destination } from '../destinations/destination.ts'
import { Slots } from '../destinations/slots.ts'
import type { BreakerState, CallResult } from '../engine/breaker.ts'
import { errorText } from '../engine/error-text.ts'
import type { Outcome } from '../engine/outcome.ts'
import type { RetryPolicy } from '../engine/settle.ts'
import type { Metrics } from '../observe/metrics.ts'
import type { ClaimedDelivery } from '../store/claim-due.ts'
import { readDelivery } from './read-delivery.ts'

/** What a lane reports to. */
export interface LaneOptions {
  readonly source: string
  readonly metrics: Metrics
  readonly log: Logger
}

const GAUGE: Record<BreakerState, number> = { closed: 0, 'half-open': 1, open: 2 }

/** One destination's share of the dispatcher: its slots and its breaker, so that a slow one slows nobody else. */
export class Lane {
  readonly policy: RetryPolicy
  readonly #destination: Destination
  readonly #options: LaneOptions
  readonly #slots: Slots

  constructor(destination: Destination, options: LaneOptions) {
    this.#destination = destination
    this.#options = options
    this.policy = { attemptsMax: destination.attemptsMax, backOff: destination.backOff }
    this.#slots = new Slots(destination.concurrency, (state, before) => this.#show(state, before))
  }

  /** How many deliveries may be started now. */
  free(nowMs: number): number {
    return this.#slots.free(nowMs)
  }

  /** When its breaker lets a call through again: milliseconds from now; Infinity if it is not open. */
  reopensInMs(nowMs: number): number {
    return this.#slots.reopensInMs(nowMs)
  }

  /** Makes one attempt. Never rejects: what goes wrong here is an outcome too. */
  async deliver(row: ClaimedDelivery, signal: AbortSignal): Promise<Outcome> {
    const slot = this.#slots.take()
    const outcome = await this.#attempt(row, signal)
    slot.free(resultOf(outcome))
    return outcome
  }

  async #attempt(row: ClaimedDelivery, signal: AbortSignal): Promise<Outcome> {
    const delivery = this.#read(row)
    if ('kind' in delivery) return delivery
    try {
      const outcome = await this.#destination.deliver(delivery, signal)
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

  #show(state: BreakerState, before: BreakerState | undefined): void {
    const { source, metrics, log } = this.#options
    const destination = this.#destination.name
    metrics.breaker.set({ source, destination }, GAUGE[state])
    if (state === 'open') log.warn({ source, destination }, 'a destination is away; it is called again later')
    if (state === 'closed' && before !== undefined) log.info({ source, destination }, 'a destination is back')
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
