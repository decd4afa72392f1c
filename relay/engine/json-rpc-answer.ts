import { type AnswerFacts, byWord, type ReadAnswer, readBranchAnswer } from './branch-answer.ts'
import { contentOf, dtmWordOf, fieldOf, isNothing, lenientWordOf } from './dtm-result.ts'
import { errorText } from './error-text.ts'
import type { VerdictAnswer } from './read-verdict.ts'
import type { CheckOutcome } from './transaction/record-verdict.ts'

/** The codes by which a method says what DTM's other branches say by a status. */
const FAILURE = -32901
const ONGOING = -32902

/** What a method answered; undefined: nothing that JSON-RPC knows. */
type JsonRpcAnswer =
  | { readonly kind: 'result'; readonly result: unknown }
  | { readonly kind: 'error'; readonly code: unknown; readonly message: string }

/**
 * Reads the answer of a branch that is called by JSON-RPC. A result is done, unless its `dtm_result` says otherwise; so
 * is an answer of JSON-RPC without a result. The error -32901 is Failure, -32902 Ongoing, any other is repeated. Without
 * the status 200 there was no method to answer, so the status says what it says of every branch, but decides nothing.
 * `lenient` as DTM itself: the words count anywhere in the text, and an object without an error is done.
 */
export function readJsonRpcAnswer(answer: AnswerFacts, lenient: boolean): ReadAnswer {
  const { status, text } = answer
  const word = lenient ? lenientWordOf(status, text()) : undefined
  if (word !== undefined) return byWord(word, answer)
  if (status !== 200) {
    const read = readBranchAnswer(answer)
    return read.outcome.kind === 'retry' ? read : repeated(`answered ${status}, and not by JSON-RPC`)
  }
  const said = parse(text(), lenient)
  if (said === undefined) return repeated('answered 200, and not by JSON-RPC')
  if (said.kind === 'result') {
    const decided = dtmWordOf(said.result)
    const isDone = decided === undefined || decided === 'SUCCESS'
    return isDone ? { outcome: { kind: 'done' }, result: 'ok' } : byWord(decided, answer)
  }
  const error = errorText(`error ${textOf(said.code ?? null)}: ${said.message}`)
  switch (said.code) {
    case FAILURE:
      return { outcome: { kind: 'failure', error }, result: 'ok' }
    case ONGOING:
      return { outcome: { kind: 'ongoing' }, result: 'ok' }
    default:
      return repeated(error)
  }
}

/**
 * Reads the answer to a back-query by JSON-RPC. As over HTTP: a `dtm_result` in the result decides, and no result is a
 * commit; another result is one only for `lenient`, for which words in the text count as well.
 */
export function readJsonRpcVerdict({ status, text = '' }: VerdictAnswer, lenient: boolean): CheckOutcome {
  if (status === 429 || status === 503) return 'unreachable'
  const word = lenient ? lenientWordOf(status, text) : undefined
  if (word !== undefined) return word === 'ONGOING' ? 'in_progress' : 'aborted'
  const said = status === 200 ? parse(text, lenient) : undefined
  switch (said?.kind) {
    case undefined:
      return 'unknown'
    case 'result': {
      const decided = dtmWordOf(said.result)
      if (decided === 'ONGOING') return 'in_progress'
      if (decided === 'FAILURE') return 'aborted'
      return lenient || decided === 'SUCCESS' || isNothing(said.result) ? 'committed' : 'unknown'
    }
    case 'error':
      if (said.code === FAILURE) return 'aborted'
      return said.code === ONGOING ? 'in_progress' : 'unknown'
  }
}

function repeated(error: string): ReadAnswer {
  return { outcome: { kind: 'retry', error: errorText(error) }, result: 'ok' }
}

function parse(text: string, lenient: boolean): JsonRpcAnswer | undefined {
  const value = contentOf(text)
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined
  const error = fieldOf(value, 'error')
  if (error !== undefined && error !== null) {
    return { kind: 'error', code: fieldOf(error, 'code'), message: textOf(fieldOf(error, 'message') ?? '') }
  }
  const result = fieldOf(value, 'result')
  // Methods without a result leave it out; an object with no sign of JSON-RPC at all is of another program.
  const isOfMethod = result !== undefined || error === null || fieldOf(value, 'jsonrpc') === '2.0'
  return isOfMethod || lenient ? { kind: 'result', result } : undefined
}

/** What a method put into its error may be anything: an object whose `toString` is a number cannot be made a text. */
function textOf(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value)
}
