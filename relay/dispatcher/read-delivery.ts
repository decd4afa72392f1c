import { type MessageHeaders, parseHeaders } from 'postcommit/protocol'
import type { Delivery } from '../destinations/destination.ts'
import type { ClaimedDelivery } from '../store/claim-due.ts'

/**
 * A row as what is delivered.
 * @throws if its headers are not what the SDK writes: whoever inserts rows by other means must not get past the rules
 * that keep a message from re-routing its own request.
 */
export function readDelivery(source: string, row: ClaimedDelivery): Delivery {
  return {
    source,
    gid: row.gid,
    branch: row.branch,
    destination: row.destination,
    target: row.target,
    key: row.key ?? undefined,
    content: row.payload ?? row.body ?? '',
    headers: row.headers === null ? {} : readHeaders(row.headers),
    attempt: row.attempts + 1,
  }
}

function readHeaders(text: string): MessageHeaders {
  const headers: unknown = JSON.parse(text)
  if (typeof headers !== 'object' || headers === null) throw new Error('the headers of the row are not an object')
  return parseHeaders(headers as Record<string, string>)
}
