import { type AnswerFacts, type ReadAnswer, readBranchAnswer } from './branch-answer.ts'
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
 * Reads the answer of a branch that is called by JSON-RPC. A result is done; the error -32901 is Failure, -32902
 * Ongoing, any other is repeated. Without the status 200 there was no method to answer, so the status says what it says
 * of every branch, but decides nothing.
 */
export function readJsonRpcAnswer(answer: AnswerFacts): ReadAnswer {
  const { status, text } = answer
  if (status !== 200) {
    const read = readBranchAnswer(answer)
    return read.outcome.kind === 'retry' ? read : repeated(`answered ${status}, and not by JSON-RPC`)
  }
  const said = parse(text())
  if (said === undefined) return repeated('answered 200, and not by JSON-RPC')
  if (said.kind === 'result') return { outcome: { kind: 'done' }, result: 'ok' }
  const error = errorText(`error ${String(said.code)}: ${said.message}`)
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
 * Reads the answer to a back-query by JSON-RPC. Only `{"dtm_result":"SUCCESS"}` as the result is a commit, unless
 * `lenient` takes any result for one.
 */
export function readJsonRpcVerdict({ status, text = '' }: VerdictAnswer, lenient: boolean): CheckOutcome {
  if (status === 429 || status === 503) return 'unreachable'
  const said = status === 200 ? parse(text) : undefined
  switch (said?.kind) {
    case undefined:
      return 'unknown'
    case 'result':
      return lenient || fieldOf(said.result, 'dtm_result') === 'SUCCESS' ? 'committed' : 'unknown'
    case 'error':
      if (said.code === FAILURE) return 'aborted'
      return said.code === ONGOING ? 'in_progress' : 'unknown'
  }
}

function repeated(error: string): ReadAnswer {
  return { outcome: { kind: 'retry', error: errorText(error) }, result: 'ok' }
}

function parse(text: string): JsonRpcAnswer | undefined {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return undefined
  }
  const error = fieldOf(value, 'error')
  if (error !== undefined && error !== null) {
    return { kind: 'error', code: fieldOf(error, 'code'), message: String(fieldOf(error, 'message') ?? '') }
  }
  const result = fieldOf(value, 'result')
  // Methods that have nothing to say answer null; an object without either is a page of somebody else's.
  return result === undefined ? undefined : { kind: 'result', result }
}

function fieldOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, name)
    ? (value as Readonly<Record<string, unknown>>)[name]
    : undefined
}
