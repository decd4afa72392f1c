import { headers } from '@nats-io/transport-node'
import { ENVELOPE, NATS_MESSAGE_ID } from 'postcommit/protocol'
import type { BrokerMessage } from './broker-message.ts'

/**
 * The headers of a message as they go over the wire, to be encoded in UTF-8.
 *
 * Written out at once where every value is plain, which it is for whatever the SDK stores without headers of its own:
 * four or five `set` calls of the client, each with a look through those before it, take 4 times as long. With user
 * headers, or with a gid that other means have written, the client's own code checks and writes them.
 *
 * @throws what the client throws about a name or value that would break the headers apart
 */
export function encodeHeaders(message: BrokerMessage): string {
  const { messageId, gid, branch, key, content } = message
  if (message.headers !== undefined || !PLAIN.test(messageId) || !PLAIN.test(gid)) return encodeByClient(message)
  const keyLine = key === undefined ? '' : `${ENVELOPE.key}: ${encodeKey(key)}\r\n`
  return `NATS/1.0\r\n${NATS_MESSAGE_ID}: ${messageId}\r\n${ENVELOPE.gid}: ${gid}\r\n${ENVELOPE.branch}: ${branch}\r\n${keyLine}${ENVELOPE.content}: ${contentType(content)}\r\n\r\n`
}

/** The same by the client's own means. */
export function encodeByClient(message: BrokerMessage): string {
  const result = headers()
  if (message.headers !== undefined) {
    // Stored by the SDK, checked there, or written by other means: the broker client refuses line breaks itself.
    for (const [name, value] of Object.entries<string>(JSON.parse(message.headers))) result.set(name, value)
  }
  result.set(NATS_MESSAGE_ID, message.messageId)
  result.set(ENVELOPE.gid, message.gid)
  result.set(ENVELOPE.branch, String(message.branch))
  if (message.key !== undefined) result.set(ENVELOPE.key, encodeKey(message.key))
  result.set(ENVELOPE.content, contentType(message.content))
  return result.toString()
}

/** Nothing that the client would refuse, trim or encode in more than one byte. */
const PLAIN = /^[\x21-\x7e]+$/
/** What encodeURIComponent leaves as it is. */
const UNRESERVED = /^[A-Za-z0-9_.~-]+$/

function encodeKey(key: string): string {
  return UNRESERVED.test(key) ? key : encodeURIComponent(key)
}

function contentType(content: string | Uint8Array): string {
  return typeof content === 'string' ? 'application/json' : 'application/octet-stream'
}
