import { BranchOp, ENVELOPE, parseStoredHeaders, storedMessageProblem, TransactionMode } from 'postcommit/protocol'
import type { DestinationCall } from '../destinations/destination-call.ts'
import type { ClaimedDelivery } from '../store/delivery/claim-due.ts'
import { REDIS_OUTBOX_DESTINATION } from '../store/redis-outbox/park-entries.ts'

/**
 * A row as the call that delivers it.
 * @throws if the SDK could not have written it: a program that inserts rows by other means must not get past the rules that keep
 * a message from re-routing its own request, or from being published where services may not publish.
 */
export function readDelivery(source: string, row: ClaimedDelivery): DestinationCall {
  const { gid, branch, destination, target, key, payload, body, attempts } = row
  // What the relay sets aside for itself never leaves it, and is read where it is applied.
  const problem = destination === REDIS_OUTBOX_DESTINATION ? undefined : storedMessageProblem(row, destination, target)
  if (problem !== undefined) throw new Error(problem)
  const { [ENVELOPE.key]: told, ...headers } = row.headers === null ? {} : parseStoredHeaders(row.headers, key)
  return {
    source,
    gid,
    mode: TransactionMode.Msg,
    branch: String(branch),
    number: branch,
    // A barrier takes it for what it is: the action of a branch that undoes nothing.
    op: BranchOp.Action,
    dialect: 'v1',
    target,
    // A delayed message has no place in the order of its key; its receiver is told the key all the same.
    key: key ?? (told === undefined ? undefined : decodeURIComponent(told)),
    content: payload ?? body ?? '',
    headers,
    attempt: attempts + 1,
    timeoutMs: undefined,
    reads: 'status',
  }
}
