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
