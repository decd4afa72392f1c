import type { CallResult } from './breaker.ts'
import { contentOf, dtmWordOf, lenientWordOf } from './dtm-result.ts'
import { errorText } from './error-text.ts'
import type { CallOutcome } from './transaction/record-outcome.ts'

/** An answer as far as it decides anything. */
export interface AnswerFacts {
  readonly status: number
  /** Text of the answer. It decides nothing, except in the lenient reading. */
  readonly text: () => string
  readonly retryAfterMs?: number | undefined
}

/** What an answer says about the call, and about the destination. `away`: nothing about the call; no attempt is burnt. */
export interface ReadAnswer {
  readonly outcome: CallOutcome
  readonly result: CallResult
}

/**
 * Reads the answer of a branch: by its status alone. 2xx: done. 409: Failure, it has not happened and never will. 425:
 * Ongoing. 429 and 503 say that it is not the time. Anything else is no answer to the question.
 */
export function readBranchAnswer({ status, retryAfterMs, text }: AnswerFacts): ReadAnswer {
  const error = `answered ${status}`
  const asked = retryAfterMs !== undefined && { retryAfterMs }
  if (status >= 200 && status < 300) return { outcome: { kind: 'done' }, result: 'ok' }
  if (status === 409) return { outcome: { kind: 'failure', error: readRefusal(text()) ?? error }, result: 'ok' }
  if (status === 425) return { outcome: { kind: 'ongoing' }, result: 'ok' }
  if (status === 429 || status === 503) return { outcome: { kind: 'retry', error, ...asked }, result: 'away' }
  // 4xx is about this call; that the destination works is not in doubt.
  return { outcome: { kind: 'retry', error, ...asked }, result: status < 500 ? 'ok' : 'failed' }
}

/** Why a branch has refused, for people: the `detail` of a problem (RFC 9457), or plain text; undefined: it did not say. */
function readRefusal(text: string): string | undefined {
  const said = detailOf(text) ?? (/^\s*[<{["]/.test(text) ? '' : text)
  return errorText(said) || undefined
}

function detailOf(text: string): string | undefined {
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value !== 'object' || value === null || !('detail' in value)) return undefined
    return typeof value.detail === 'string' ? value.detail : undefined
  } catch {
    return undefined
  }
}

/**
 * Reads the answer of a branch of DTM: by `dtm_result` if it is a JSON object that has it, whatever the status, because
 * many services answer 200 with it; otherwise by the status. A status of Failure or Ongoing stands against a SUCCESS.
 */
export function readDtmAnswer(answer: AnswerFacts): ReadAnswer {
  const word = answer.status === 425 ? 'ONGOING' : dtmWordOf(contentOf(answer.text()))
  return word === 'ONGOING' || word === 'FAILURE' ? byWord(word, answer) : readBranchAnswer(answer)
}

/**
 * Reads the answer as DTM does: ONGOING and FAILURE anywhere in the text count, whatever the status, and of all
 * statuses only 200 is done. Business data that holds one of the words is read as a decision, which is why this is not
 * the default.
 */
export function readLenientAnswer(answer: AnswerFacts): ReadAnswer {
  const word = lenientWordOf(answer.status, answer.text())
  if (word !== undefined) return byWord(word, answer)
  if (answer.status === 200) return { outcome: { kind: 'done' }, result: 'ok' }
  const read = readBranchAnswer(answer)
  return read.outcome.kind === 'done'
    ? { outcome: { kind: 'retry', error: `answered ${answer.status}` }, result: 'ok' }
    : read
}

/** What a word of DTM stands for. */
export function byWord(word: 'ONGOING' | 'FAILURE', { status }: AnswerFacts): ReadAnswer {
  if (word === 'ONGOING') return { outcome: { kind: 'ongoing' }, result: 'ok' }
  return { outcome: { kind: 'failure', error: `answered ${status} with FAILURE` }, result: 'ok' }
}
