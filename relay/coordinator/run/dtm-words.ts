import type { CallDialect } from '../../destinations/destination-call.ts'
import { errorText } from '../../engine/error-text.ts'
import type { Reason } from '../../engine/transaction/transition.ts'
import type { ClaimedTransaction } from '../../store/transaction/transaction-row.ts'
import { opKey } from '../stored/engine-view.ts'
import { readStoredOptions } from '../stored/stored-options.ts'
import type { Route } from '../stored/stored-target.ts'
import { type OpNote, reasonText } from './unwritten-work.ts'

/** How a branch or a question is put: DTM calls a method where the protocol says so and the address names one. */
export function dialectOf(row: Pick<ClaimedTransaction, 'dialect' | 'protocol'>, route: Route): CallDialect {
  if (row.dialect !== 'dtm') return 'v1'
  return row.protocol === 'json-rpc' && isMethod(route) ? 'dtm-json-rpc' : 'dtm'
}

/** Whether an address names a method, by the rule of DTM. */
export function isMethod(route: Route): boolean {
  return route.kind === 'url' && route.url.searchParams.has('method')
}

/** As much of an answer as DTM's tables hold of a reason. */
const REASON_CHARACTERS = 1000

/** What is written down about a branch that refused: DTM's clients show people what the branch said. */
export function dtmRefusal(target: string, status: number, text: string): string {
  const said = text.trim() === '' ? `answered ${status}` : text.trim().replace(/ FAILURE$/, '')
  return errorText(`url:${target} return failed: ${said} FAILURE`, REASON_CHARACTERS)
}

/** Why a transaction was given up, in the words of its dialect. `notes`: what is known of its ops since they were written. */
export function reasonIn(row: ClaimedTransaction, reason: Reason, notes: ReadonlyMap<string, OpNote>): string {
  const branch = reason.kind === 'branch-failed' ? reason.branch : ''
  const note = notes.get(opKey({ branch, op: 'action' }))
  return row.dialect === 'dtm' ? dtmReasonText(reason, row, note?.error) : reasonText(reason, note)
}

/** Who speaks DTM's dialect has said when to call again, and counts on it: doubling, without jitter. */
export function randomIn(row: ClaimedTransaction, { random }: { random(): number }): number {
  return row.dialect === 'dtm' ? 1 : random()
}

/** DTM's words, which its clients compare. */
function dtmReasonText(
  reason: Reason,
  { options }: Pick<ClaimedTransaction, 'options'>,
  error: string | undefined,
): string {
  switch (reason.kind) {
    case 'asked':
    case 'forced':
      return reason.text
    case 'branch-failed':
      return error ?? 'fail message lost'
    case 'retry-limit':
      return `RetryCount is greater than RetryLimit, RetryLimit: ${reason.limit}`
    case 'deadline':
      return `Timeout after ${Number(readStoredOptions(options).dtm?.['timeout_to_fail'] ?? 0)} seconds`
    case 'rolled-back':
      return 'the local transaction was rolled back'
  }
}
