import { ENVELOPE, parseStoredHeaders, storedMessageProblem } from 'postcommit/protocol'
import type { Delivery } from '../destinations/destination.ts'
import type { ClaimedDelivery } from '../store/delivery/claim-due.ts'
import { REDIS_OUTBOX_DESTINATION } from '../store/redis-outbox/park-entries.ts'

/**
 * A row as what is delivered.
 * @throws if the SDK could not have written it: a program that inserts rows by other means must not get past the rules that keep
 * a message from re-routing its own request, or from being published where services may not publish.
 */
export function readDelivery(source: string, row: ClaimedDelivery): Delivery {
  const { gid, branch, destination, target, key, payload, body, attempts } = row
  // What the relay sets aside for itself never leaves it, and is read where it is applied.
  const problem = destination === REDIS_OUTBOX_DESTINATION ? undefined : storedMessageProblem(row, destination, target)
  if (problem !== undefined) throw new Error(problem)
  const { [ENVELOPE.key]: told, ...headers } = row.headers === null ? {} : parseStoredHeaders(row.headers, key)
  return {
    source,
    gid,
    branch,
    destination,
    target,
    // A delayed message has no place in the order of its key; its receiver is told the key all the same.
    key: key ?? (told === undefined ? undefined : decodeURIComponent(told)),
    content: payload ?? body ?? '',
    headers,
    attempt: attempts + 1,
  }
}
