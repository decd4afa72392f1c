import { type BackQuery, parseVerdict } from 'postcommit/protocol'
import { contentOf, dtmWordOf, fieldOf, isNothing, lenientWordOf } from './dtm-result.ts'
import type { CheckOutcome } from './transaction/record-verdict.ts'

/** The answer to a back-query. */
export interface VerdictAnswer {
  readonly status: number
  /** Undefined: it was longer than any verdict. */
  readonly text: string | undefined
}

/**
 * Reads the answer to a back-query. Only a 200 with a verdict for this very question decides; a page for people, a
 * default route, another question's answer or an error decides nothing. A service that says it is busy or starting has
 * not been reached.
 */
export function readVerdict({ status, text }: VerdictAnswer, asked: BackQuery): CheckOutcome {
  if (status === 429 || status === 503) return 'unreachable'
  const verdict = status === 200 && text !== undefined ? parseVerdict(text, asked) : undefined
  return verdict ?? 'unknown'
}

/**
 * Reads the answer of a service of DTM. What its clients and their examples answer decides: `dtm_result` in a JSON
 * object; 200 with nothing in it, which is a handler without a result; 409 with an `error`, which is a handler that
 * failed. A page of another program has none of these and decides nothing, unless `lenient` asks for DTM's own reading:
 * the words count anywhere in the text, and any other 200 is a commit, also that of an error page.
 */
export function readDtmVerdict({ status, text }: VerdictAnswer, lenient: boolean): CheckOutcome {
  if (lenient) {
    const said = lenientWordOf(status, text ?? '')
    if (said !== undefined) return said === 'ONGOING' ? 'in_progress' : 'aborted'
    return status === 200 ? 'committed' : 'unknown'
  }
  // What is longer than any verdict is a page, and not an answer without content.
  const value = text === undefined ? [] : contentOf(text)
  const word = dtmWordOf(value)
  if (status === 425 || word === 'ONGOING') return 'in_progress'
  switch (status) {
    case 200:
      if (word === 'FAILURE') return 'aborted'
      return word === 'SUCCESS' || isNothing(value) ? 'committed' : 'unknown'
    case 409:
      if (word === undefined) return carriesError(value) ? 'aborted' : 'unknown'
      return word === 'FAILURE' ? 'aborted' : 'unknown'
    case 429:
    case 503:
      return 'unreachable'
    default:
      return 'unknown'
  }
}

function carriesError(value: unknown): boolean {
  const error = fieldOf(value, 'error')
  return error !== false && error !== 0 && !isNothing(error)
}
