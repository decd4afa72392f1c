import { STATUS_CODES } from 'node:http'
import { PostcommitError } from '../protocol/errors.ts'
import { DeliveryPostponed, DeliveryRefused } from '../protocol/refusal.ts'

/** What a call is answered. */
export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | undefined
}

/** Says on a 204 that the message had taken effect before. */
const OUTCOME_HEADER = 'postcommit-outcome'

/** The message has taken effect, now or before. */
export function confirmed(duplicate: boolean): Answer {
  return { status: 204, headers: duplicate ? { [OUTCOME_HEADER]: 'duplicate' } : {}, body: undefined }
}

/** A refusal as `application/problem+json` (RFC 9457). */
export function problem(status: number, detail?: string, more: Answer['headers'] = {}, code?: string): Answer {
  const title = STATUS_CODES[status] ?? 'Error'
  return {
    status,
    headers: { 'content-type': 'application/problem+json', 'cache-control': 'no-store', ...more },
    body: JSON.stringify({ type: 'about:blank', title, status, code, detail }),
  }
}

/**
 * The answer for what went wrong before or inside the handler; `unexpected` errors are for the log, not the caller.
 *
 * @param refused - what says to this caller that trying again cannot help
 */
export function answerTo(
  error: unknown,
  refused: 409 | 410,
): { readonly answer: Answer; readonly unexpected: boolean } {
  if (error instanceof DeliveryRefused) return { answer: problem(refused, error.message), unexpected: false }
  if (error instanceof DeliveryPostponed) {
    const seconds = String(Math.ceil(error.retryAfterMs / 1000))
    return { answer: problem(503, error.message, { 'retry-after': seconds }), unexpected: false }
  }
  const status = error instanceof PostcommitError ? STATUS_OF.get(error.code) : undefined
  if (error instanceof PostcommitError && status !== undefined) {
    return {
      answer: problem(status, error.message, {}, error.code),
      unexpected: status === 409 || error.code === 'POSTCOMMIT_INBOX_IN_PROGRESS',
    }
  }
  return { answer: problem(500), unexpected: true }
}

const STATUS_OF: ReadonlyMap<string, number> = new Map([
  ['POSTCOMMIT_SIGNATURE_MISSING', 401],
  ['POSTCOMMIT_SIGNATURE_INVALID', 401],
  ['POSTCOMMIT_TIMESTAMP_OUT_OF_RANGE', 401],
  ['POSTCOMMIT_INVALID_DELIVERY', 400],
  ['POSTCOMMIT_DELIVERY_MISMATCH', 400],
  ['POSTCOMMIT_INBOX_ID_REUSED', 409],
  ['POSTCOMMIT_INBOX_IN_PROGRESS', 425],
  ['POSTCOMMIT_BRANCH_IN_PROGRESS', 425],
])
