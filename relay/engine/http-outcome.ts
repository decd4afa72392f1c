import type { Outcome } from './outcome.ts'

/** What an HTTP destination answered. */
export interface HttpAnswer {
  readonly status: number
  readonly retryAfter: string | undefined
  /** The header `postcommit-outcome` of the receiver's handler. */
  readonly outcome: string | undefined
  /** Failed attempts before this one. */
  readonly attempts: number
  /** After how many answers of 4xx a message is dead: long enough to outlive a wrong deployment. */
  readonly permanentAttemptsMax: number
  /** Unix milliseconds, to read an HTTP date. */
  readonly nowMs: number
}

const RETRY_AFTER_CAP_MS = 3_600_000

/**
 * Reads an answer. Only a 2xx confirms, and a 409 by which the receiver says that it has had the message before. A
 * 429, 503 or 425 says that it is not the time; a 410 that it never will be; another 4xx that something is wrong with
 * the message or with the destination's set-up, which deserves patience but not for ever.
 */
export function readHttpAnswer(answer: HttpAnswer): Outcome {
  const { status } = answer
  const error = `answered ${status}`
  if (status >= 200 && status < 300) return { kind: 'confirmed', status }
  if (status === 409 && answer.outcome === 'duplicate') return { kind: 'confirmed', status }
  if (status === 410) return { kind: 'refused', error, status }
  const retryAfterMs = readRetryAfter(answer.retryAfter, answer.nowMs)
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

/** Seconds or an HTTP date; at most an hour; undefined if it is neither. */
export function readRetryAfter(value: string | undefined, nowMs: number): number | undefined {
  const text = value?.trim() ?? ''
  // Date.parse takes "1.5" and "-5" for dates of its own; an HTTP date begins with the day of the week.
  const ms = /^\d{1,9}$/.test(text) ? Number(text) * 1000 : /^[A-Z][a-z]{2}/.test(text) ? Date.parse(text) - nowMs : NaN
  return Number.isNaN(ms) ? undefined : Math.min(RETRY_AFTER_CAP_MS, Math.max(0, ms))
}
