import { PostcommitError } from './errors.ts'
import { LIMITS } from './limits.ts'

/** Headers of a message: lower-case names, ASCII values. They reach a subscriber and an HTTP handler alike. */
export type MessageHeaders = Readonly<Record<string, string>>

/** The headers that the relay itself adds, on NATS and on HTTP. */
export const ENVELOPE = {
  /** The global transaction id. */
  gid: 'postcommit-gid',
  /** The number of the message within its transaction, from 1; of a saga the name of the branch. */
  branch: 'postcommit-branch',
  /** The ordering key, percent-encoded, where there is one. */
  key: 'postcommit-key',
  /** `text` for JSON, `bytes` for a Uint8Array. */
  content: 'content-type',
} as const

/** The header that JetStream deduplicates by; its value is a message id. */
export const NATS_MESSAGE_ID = 'Nats-Msg-Id'

const NAME = new RegExp(`^[a-z0-9-]{1,${LIMITS.headerNameCharacters}}$`)
const VALUE = /^[\x20-\x7e]*$/
const RESERVED = new Set([
  'host',
  'content-length',
  'content-type',
  'transfer-encoding',
  'connection',
  'keep-alive',
  'te',
  'trailer',
  'upgrade',
  'expect',
  'cookie',
  'authorization',
])
const RESERVED_PREFIXES = ['proxy-', 'webhook-', 'postcommit-', 'nats-']

/**
 * Parses the headers of a message; names are folded to lower case.
 *
 * Reserved names are refused because they change what the transport does (`nats-rollup` deletes a stream's past,
 * `host` and `transfer-encoding` re-route or split a request) or would forge the relay's own.
 * @throws `POSTCOMMIT_INVALID_HEADER` with the name and the reason.
 */
export function parseHeaders(headers: Readonly<Record<string, string>>): MessageHeaders {
  const entries = Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value] as const)
  if (entries.length > LIMITS.headers) refuse('*', `there are ${entries.length}, more than ${LIMITS.headers}`)
  const seen = new Set<string>()
  for (const [name, value] of entries) {
    if (!NAME.test(name)) refuse(name, 'the name has other characters or is too long')
    if (RESERVED.has(name) || RESERVED_PREFIXES.some((prefix) => name.startsWith(prefix))) {
      refuse(name, 'the name is reserved')
    }
    if (seen.has(name)) refuse(name, 'it is given twice')
    seen.add(name)
    if (typeof value !== 'string') refuse(name, 'the value is not a string')
    if (!VALUE.test(value)) refuse(name, 'the value has control or non-ASCII characters')
    if (value.length > LIMITS.headerValueBytes) refuse(name, 'the value is too long')
  }
  return Object.fromEntries(entries)
}

/** @throws `POSTCOMMIT_INVALID_HEADER` about all of them. */
export function headersProblem(reason: string): never {
  return refuse('*', reason)
}

function refuse(header: string, reason: string): never {
  throw new PostcommitError('POSTCOMMIT_INVALID_HEADER', { header: JSON.stringify(header), reason })
}
