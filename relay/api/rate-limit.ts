import { PostcommitError } from 'postcommit/protocol'

/** A tenant that asks for more than it may; it says when there is something again. */
export class RateLimited extends PostcommitError<'POSTCOMMIT_RATE_LIMITED'> {
  readonly retryAfterMs: number

  constructor(limit: number, retryAfterMs: number) {
    super('POSTCOMMIT_RATE_LIMITED', { limit })
    this.retryAfterMs = retryAfterMs
  }
}

/** What was not used in this time may be used at once. */
const BURST_MS = 1000

/**
 * What tenants may ask for. A request is let in as long as its tenant owes nothing, and its operations are charged when
 * they have been counted: a large batch is paid for by the pause behind it, instead of never being let in.
 *
 * Each relay counts for itself, so that counting takes no round trip.
 */
export class RateLimit {
  readonly #perSecond: number
  /** When what a tenant has asked for is paid, by the clock of this process. */
  readonly #paidAtMs = new Map<string, number>()

  constructor(operationsPerSecond: number) {
    this.#perSecond = operationsPerSecond
  }

  /**
   * Lets a request in, and charges one operation.
   * @throws {@link RateLimited}.
   */
  enter(tenant: string, nowMs = performance.now()): void {
    const owedMs = (this.#paidAtMs.get(tenant) ?? 0) - nowMs
    if (owedMs > 0) throw new RateLimited(this.#perSecond, owedMs)
    this.charge(tenant, 1, nowMs)
  }

  /** Charges operations of a request that was let in. */
  charge(tenant: string, operations: number, nowMs = performance.now()): void {
    const paidAtMs = Math.max(this.#paidAtMs.get(tenant) ?? 0, nowMs - BURST_MS)
    this.#paidAtMs.set(tenant, paidAtMs + (operations * 1000) / this.#perSecond)
  }
}
