import { readKey } from '../http/read-call.ts'
import { checkPayload, type PayloadOptions, readContent } from '../http/read-payload.ts'
import { PostcommitError } from '../protocol/errors.ts'
import { type Gid, messageId, parseMessageId } from '../protocol/gid.ts'
import { ENVELOPE, type MessageHeaders, NATS_MESSAGE_ID } from '../protocol/headers.ts'
import { parseAckSubject } from './ack-subject.ts'
import type { NatsHeaders, NatsMessage } from './nats-connection.ts'

/** A message as a subscriber sees it. */
export interface SubscribedDelivery<Payload = unknown> {
  /** Unique for ever and the same at every delivery. */
  readonly id: string
  readonly gid: Gid
  /** The number of the message within its transaction, from 1. */
  readonly branch: number
  /** The subject it was published to. */
  readonly topic: string
  /** The ordering key, where there is one. */
  readonly key: string | undefined
  /** 1 for the first attempt; counted by this subscription since it started. */
  readonly attempt: number
  /** The content as a value: what the schema gave back, the parsed JSON, or the bytes. */
  readonly payload: Payload
  /** The exact content that was published. */
  readonly content: string | Uint8Array
  /** The headers that the sender of the message gave it. */
  readonly headers: MessageHeaders
  /** Its place in the stream. */
  readonly sequence: number
}

/** Where dead letters say they came from; the value is `<stream>.<durable>`. */
export const DEAD_LETTER_ORIGIN = 'postcommit-dead-letter-consumer'

const OUR_HEADERS = /^(postcommit-|nats-|content-type$)/i

/**
 * Reads a message of the relay.
 * @param attempt - from 1
 * @throws `POSTCOMMIT_INVALID_DELIVERY` if it is not one, `POSTCOMMIT_DELIVERY_MISMATCH` if its payload is refused.
 */
export async function readDelivery<Payload>(
  options: PayloadOptions<Payload>,
  message: NatsMessage,
  attempt: number,
): Promise<SubscribedDelivery<Payload>> {
  const { headers, subject, data } = message
  const { id, gid, branch } = readIdentity(headers)
  const read = readContent(header(headers, ENVELOPE.content), data)
  if ('problem' in read) return invalid(read.reason)
  const key = readKey(header(headers, ENVELOPE.key))
  const payload = await checkPayload(options, id, read.value)
  const sequence = parseAckSubject(message.reply ?? '')?.sequence ?? 0
  return {
    id,
    gid,
    branch,
    topic: subject,
    key,
    attempt,
    payload,
    content: read.content,
    headers: userHeaders(headers),
    sequence,
  }
}

function readIdentity(headers: NatsHeaders | undefined): {
  readonly id: string
  readonly gid: Gid
  readonly branch: number
} {
  const gid = header(headers, ENVELOPE.gid) ?? invalid(`header ${ENVELOPE.gid} is missing`)
  const branch = header(headers, ENVELOPE.branch) ?? invalid(`header ${ENVELOPE.branch} is missing`)
  const parsed = parseMessageId(`${gid}:${branch}`) ?? invalid(`${ENVELOPE.gid} or ${ENVELOPE.branch} is malformed`)
  const id = messageId(parsed.gid, parsed.branch)
  // A dead letter has an id of its own for JetStream's sake and keeps the identity of its message.
  const published = header(headers, NATS_MESSAGE_ID)
  if (published !== undefined && published !== id && header(headers, DEAD_LETTER_ORIGIN) === undefined) {
    invalid(`${NATS_MESSAGE_ID} names another message than ${ENVELOPE.gid}`)
  }
  return { id, ...parsed }
}

/** The ordering key as it stands in the header: enough to keep order by, and there before anything is parsed. */
export function laneOf({ headers }: NatsMessage, origin: string): string | undefined {
  // Our own dead letter, come back because its subject is one of ours: it must not hold its key again.
  return header(headers, DEAD_LETTER_ORIGIN) === origin ? undefined : header(headers, ENVELOPE.key)
}

/** The value of a header, undefined if it is not there or empty. */
export function header(headers: NatsHeaders | undefined, name: string): string | undefined {
  const value = headers?.get(name)
  return value === '' ? undefined : value
}

function userHeaders(headers: NatsHeaders | undefined): MessageHeaders {
  const names = headers?.keys().filter((name) => !OUR_HEADERS.test(name)) ?? []
  return Object.fromEntries(names.map((name) => [name.toLowerCase(), headers?.get(name) ?? '']))
}

function invalid(reason: string): never {
  throw new PostcommitError('POSTCOMMIT_INVALID_DELIVERY', { reason })
}
