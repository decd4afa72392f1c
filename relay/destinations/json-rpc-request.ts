import { randomUUID } from 'node:crypto'
import type { DestinationCall } from './destination-call.ts'

/** What names a branch in the parameters of its method, whatever the payload says under these names. */
const OWN = ['gid', 'trans_type', 'branch_id', 'op'] as const

/**
 * The request by which DTM calls a method: the name is a parameter of the address, and what names the branch joins the
 * payload. The payload is kept as it was written, so that large numbers stay what they are.
 *
 * @param path - with its query
 * @throws RangeError if the payload is no object.
 */
export function jsonRpcRequest({ gid, mode, branch, op, content = '{}' }: DestinationCall, path: string): string {
  const own = { gid, trans_type: mode, branch_id: branch, op } satisfies Record<(typeof OWN)[number], string>
  const method = new URLSearchParams(path.replace(/^[^?]*/, '')).get('method') ?? ''
  const params = join(typeof content === 'string' ? content : Buffer.from(content).toString('utf8'), own)
  return `{"jsonrpc":"2.0","id":${JSON.stringify(randomUUID())},"method":${JSON.stringify(method)},"params":${params}}`
}

function join(payload: string, own: Readonly<Record<string, string>>): string {
  const fields = readPayload(payload)
  if (OWN.some((name) => Object.hasOwn(fields, name))) return JSON.stringify({ ...fields, ...own })
  const comma = Object.keys(fields).length === 0 ? '' : ','
  return `${payload.trimEnd().slice(0, -1)}${comma}${JSON.stringify(own).slice(1)}`
}

function readPayload(payload: string): object {
  let value: unknown
  try {
    value = JSON.parse(payload)
  } catch {
    // Said below.
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value
  throw new RangeError('the payload of a call by JSON-RPC is no JSON object')
}
