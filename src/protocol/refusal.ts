const REFUSED = Symbol.for('postcommit.delivery-refused')
const POSTPONED = Symbol.for('postcommit.delivery-postponed')

/**
 * Thrown by a handler to refuse a delivery for good: trying again cannot help. A call is answered 410 and becomes a
 * dead letter at the relay; a subscriber's message goes to its dead letter subject; a branch of a saga is answered 409
 * and turns the saga back. What the handler did in its transaction is rolled back.
 *
 * @example
 * ```ts
 * if (order === undefined) throw new DeliveryRefused(`there is no order ${delivery.payload.orderId}`)
 * ```
 */
export class DeliveryRefused extends Error {
  override readonly name = 'DeliveryRefused'

  /** @param reason - shown to the operator of the sender; put no secrets into it */
  constructor(reason: string, options?: { readonly cause?: unknown }) {
    super(reason, options)
    Object.defineProperty(this, REFUSED, { value: true })
  }

  static override [Symbol.hasInstance](value: unknown): boolean {
    return typeof value === 'object' && value !== null && REFUSED in value
  }
}

/**
 * Thrown by a handler that cannot take deliveries now: a call is answered 503 with `Retry-After` and burns no
 * attempt; a subscriber's message comes again after the pause.
 *
 * @example
 * ```ts
 * if (maintenance) throw new DeliveryPostponed(60_000, 'the warehouse is being counted')
 * ```
 */
export class DeliveryPostponed extends Error {
  override readonly name = 'DeliveryPostponed'
  /** How long to wait, milliseconds. */
  readonly retryAfterMs: number

  /** @param retryAfterMs - milliseconds; on HTTP rounded up to seconds, and the relay waits an hour at most */
  constructor(retryAfterMs: number, reason = 'the handler asked for a pause', options?: { readonly cause?: unknown }) {
    super(reason, options)
    this.retryAfterMs = Number.isFinite(retryAfterMs) && retryAfterMs > 0 ? retryAfterMs : 0
    Object.defineProperty(this, POSTPONED, { value: true })
  }

  static override [Symbol.hasInstance](value: unknown): boolean {
    return typeof value === 'object' && value !== null && POSTPONED in value
  }
}
