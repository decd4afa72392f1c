import { ENVELOPE, parseHeaders } from 'postcommit/protocol'
import type { Delivery } from '../destinations/destination.ts'
import type { ClaimedDelivery } from '../store/claim-due.ts'

/**
 * A row as what is delivered.
 * @throws if its headers are not what the SDK writes: whoever inserts rows by other means must not get past the rules
 * that keep a message from re-routing its own request.
 */
export function readDelivery(source: string, row: ClaimedDelivery): Delivery {
  const { [ENVELOPE.key]: told, ...headers } = row.headers === null ? {} : readHeaders(row.headers)
  return {
    source,
    gid: row.gid,
    branch: row.branch,
    destination: row.destination,
    target: row.target,
    // A delayed message has no place in the order of its key; its receiver is told the key all the same.
    key: row.key ?? (told === undefined ? undefined : decodeURIComponent(told)),
    content: row.payload ?? row.body ?? '',
    headers: parseHeaders(headers),
    attempt: row.attempts + 1,
  }
}

function readHeaders(text: string): Readonly<Record<string, string>> {
  const headers: unknown = JSON.parse(text)
  if (typeof headers !== 'object' || headers === null) throw new Error('the headers of the row are not an object')
  return headers as Record<string, string>
}
