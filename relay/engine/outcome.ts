/** What became of one attempt. A destination never throws; it says one of these. */
export type Outcome =
  /** The destination has taken responsibility for the message. */
  | { readonly kind: 'confirmed'; readonly status?: number }
  /** It did not; trying again may help. Counts as an attempt. */
  | {
      readonly kind: 'failed'
      readonly error: string
      readonly status?: number
      /** What the destination asked for, milliseconds. */
      readonly retryAfterMs?: number
      /** It is about this message alone; that the destination works is not in doubt, and its breaker stays closed. */
      readonly ofMessage?: boolean
    }
  /** It never will: trying again cannot help. */
  | { readonly kind: 'refused'; readonly error: string; readonly status?: number }
  /** The destination as a whole is away, or asked for a pause. Nothing was learned about the message: no attempt. */
  | { readonly kind: 'unavailable'; readonly error: string; readonly status?: number; readonly retryAfterMs?: number }
  /** Its subject or stream takes nothing at the moment: no attempt, and nothing about the destination as a whole. */
  | {
      readonly kind: 'withheld'
      readonly error: string
      readonly status?: number
      /** `subject order.placed` or `stream ORDERS`. */
      readonly withheldBy: string
      readonly dueInMs: number
      /** False: it was not sent, because that is known. */
      readonly sent: boolean
    }

/** Exponential with full jitter: a random pause up to `min(capMs, baseMs * 2 ** attempts)`. */
export interface BackOff {
  readonly baseMs: number
  readonly capMs: number
}
