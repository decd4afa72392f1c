import type { CallAnswer } from './call-answer.ts'
import type { Outcome } from './outcome.ts'

/** What an HTTP destination answered. */
export interface HttpAnswer {
  readonly status: number
  readonly retryAfterMs?: number | undefined
  /** The receiver's handler says that it has had the message before. */
  readonly isDuplicate?: boolean
  /** Failed attempts before this one. */
  readonly attempts: number
  /** After how many answers of 4xx a message is dead: long enough to outlive a wrong deployment. */
  readonly permanentAttemptsMax: number
}

const RETRY_AFTER_CAP_MS = 3_600_000

/**
 * Reads an answer. Only a 2xx confirms, and a 409 by which the receiver says that it has had the message before. A
 * 429, 503 or 425 says that it is not the time; a 410 that it never will be; another 4xx that something is wrong with
 * the message or with the destination's set-up, which deserves patience but not for ever.
 */
export function readHttpAnswer(answer: HttpAnswer): Outcome {
  const { status, retryAfterMs } = answer
  const error = `answered ${status}`
  if (status >= 200 && status < 300) return { kind: 'confirmed', status }
  if (status === 409 && answer.isDuplicate === true) return { kind: 'confirmed', status }
  if (status === 410) return { kind: 'refused', error, status }
  if (status === 429 || status === 503 || status === 425) {
    return { kind: 'unavailable', error, status, ...(retryAfterMs !== undefined && { retryAfterMs }) }
  }
  if (status >= 300 && status < 400) return { kind: 'failed', error: `${error}; redirects are not followed`, status }
  const asked = retryAfterMs !== undefined && { retryAfterMs }
  if (status < 400 || status >= 500) return { kind: 'failed', error, status, ...asked }
  if (answer.attempts + 1 < answer.permanentAttemptsMax) {
    return { kind: 'failed', error, status, ofMessage: true, ...asked }
  }
  return { kind: 'refused', error: `${error}, after ${answer.attempts} attempts before`, status }
}

// No connection, or none that is trusted: the request was never sent.
const UNREACHED =
  /^(ECONNREFUSED|ENOTFOUND|EAI_|EHOST|ENET|UND_ERR_CONNECT_TIMEOUT|CERT_|ERR_TLS_CERT|SELF_SIGNED|DEPTH_ZERO|UNABLE_TO_)/

/**
 * Reads the failure of a call that got no answer. Whether the request was taken is unknown unless it was never sent.
 * Only the code is told: the text can hold addresses, and what the other side wrote.
 */
export function readHttpFailure(error: unknown): Extract<CallAnswer, { kind: 'unanswered' }> {
  const code = typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : 'unknown'
  return { kind: 'unanswered', result: UNREACHED.test(code) ? 'away' : 'failed', error: `no answer: ${code}` }
}

/** Seconds or an HTTP date in one of its three forms (RFC 9110, 5.6.7); at most an hour; undefined if it is neither. */
export function readRetryAfter(value: string | undefined, nowMs: number): number | undefined {
  const text = value?.trim() ?? ''
  const ms = /^\d{1,20}$/.test(text) ? Number(text) * 1000 : readHttpDate(text) - nowMs
  return Number.isNaN(ms) ? undefined : Math.min(RETRY_AFTER_CAP_MS, Math.max(0, ms))
}

function readHttpDate(text: string): number {
  // Date.parse takes "1.5" and "-5" for dates of its own; an HTTP date begins with the day of the week.
  if (!/^[A-Z][a-z]{2}/.test(text)) return Number.NaN
  // The form of C's asctime names no zone, and means GMT.
  return Date.parse(/^[A-Z][a-z]{2} /.test(text) ? `${text} GMT` : text)
}
