import type { CallResult } from './breaker.ts'

/**
 * What became of one call of a destination. It never throws; it says one of these. What that means is for the asker to
 * read: for a delivery `readDeliveryAnswer`, for a branch `readBranchAnswer`, for a back-query its verdict.
 */
export type CallAnswer =
  /** An answer of HTTP. */
  | {
      readonly kind: 'answered'
      readonly status: number
      /** Undefined: it was not asked for, or it was longer than is read. */
      readonly body: Buffer | undefined
      readonly retryAfterMs?: number | undefined
      /** The receiver says that it has had the message before. */
      readonly isDuplicate?: boolean
    }
  /** A function has returned, or a stream has the message: nothing more could be asked of them. */
  | { readonly kind: 'done' }
  /** A function says that it never will: a decision, as a 409 of a branch or a 410 of a delivery. */
  | { readonly kind: 'refused'; readonly error: string }
  /** A function asks for a pause. */
  | { readonly kind: 'postponed'; readonly error: string; readonly retryAfterMs: number }
  /** The subject or stream takes nothing at the moment; that says nothing about the broker as a whole. */
  | {
      readonly kind: 'withheld'
      readonly error: string
      /** `subject order.placed` or `stream ORDERS`. */
      readonly withheldBy: string
      readonly dueInMs: number
      /** False: it was not sent, because that is known. */
      readonly sent: boolean
    }
  /** None. `result` is what that says about the destination; whether the call arrived is not known if it `failed`. */
  | {
      readonly kind: 'unanswered'
      readonly result: Extract<CallResult, 'failed' | 'away'>
      readonly error: string
      readonly retryAfterMs?: number
    }
  /** It can never be made like this: the target is none, is not allowed, or the broker takes no such message. */
  | { readonly kind: 'impossible'; readonly error: string; readonly status?: number | undefined }
