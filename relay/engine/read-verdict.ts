import { type BackQuery, parseVerdict } from 'postcommit/protocol'
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
 * Reads the answer of a client of DTM. Its clients answer `{"dtm_result":"SUCCESS"}` with 200, or FAILURE with 409, or
 * ONGOING with 425; anything else decides nothing, unless `lenient` asks for DTM's own reading: the words count anywhere
 * in the text, and any other 200 is a commit, also that of an error page.
 */
export function readDtmVerdict({ status, text = '' }: VerdictAnswer, lenient: boolean): CheckOutcome {
  if (lenient) {
    if (status === 425 || text.includes('ONGOING')) return 'in_progress'
    if (status === 409 || text.includes('FAILURE')) return 'aborted'
    return status === 200 ? 'committed' : 'unknown'
  }
  if (status === 429 || status === 503) return 'unreachable'
  const result = dtmResult(text)
  if (status === 200 && result === 'SUCCESS') return 'committed'
  if (status === 409 && result === 'FAILURE') return 'aborted'
  return status === 425 ? 'in_progress' : 'unknown'
}

function dtmResult(text: string): unknown {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null && 'dtm_result' in value ? value.dtm_result : undefined
  } catch {
    return undefined
  }
}
