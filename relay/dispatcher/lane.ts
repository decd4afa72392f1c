import type { Delivery, Destination } from '../destinations/destination.ts'
import type { Outcome } from '../engine/outcome.ts'
import { Breaker, type BreakerState } from '../engine/breaker.ts'
import type { RetryPolicy } from '../engine/settle.ts'
import type { Metrics } from '../observe/metrics.ts'

const STATES: Record<BreakerState, number> = { closed: 0, 'half-open': 1, open: 2 }

/** One destination's share of the dispatcher: its slots and its breaker, so that a slow one slows nobody else. */
export class Lane {
  readonly policy: RetryPolicy
  readonly #destination: Destination
  readonly #breaker = new Breaker()
  readonly #metrics: Metrics
  #running = 0

  constructor(destination: Destination, metrics: Metrics) {
    this.#destination = destination
    this.#metrics = metrics
    this.policy = { attemptsMax: destination.attemptsMax, backOff: destination.backOff }
    this.#show()
  }

  /** How many deliveries could be started now. */
  free(nowMs: number): number {
    const allowed = this.#breaker.allow(this.#destination.concurrency, nowMs)
    return Math.max(0, allowed - this.#running)
  }

  /** When its breaker lets a call through again, if it is open. */
  reopensInMs(nowMs: number): number | undefined {
    return this.#breaker.reopensInMs(nowMs)
  }

  async deliver(delivery: Delivery, signal: AbortSignal): Promise<Outcome> {
    this.#running += 1
    try {
      const outcome = await this.#destination.deliver(delivery, signal)
      this.#breaker.record(verdictOf(outcome), performance.now(), Math.random())
      this.#show()
      return outcome
    } finally {
      this.#running -= 1
    }
  }

  #show(): void {
    this.#metrics.breaker.set({ destination: this.#destination.name }, STATES[this.#breaker.state])
  }
}

function verdictOf(outcome: Outcome): 'ok' | 'failed' | 'away' {
  switch (outcome.kind) {
    case 'confirmed':
    case 'refused':
      return 'ok'
    case 'failed':
      // A 4xx is about the message; the destination itself is there and answers.
      return outcome.status !== undefined && outcome.status < 500 ? 'ok' : 'failed'
    case 'unavailable':
      return 'away'
  }
}
