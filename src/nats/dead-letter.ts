import { PostcommitError } from '../protocol/errors.ts'
import { ENVELOPE, NATS_MESSAGE_ID } from '../protocol/headers.ts'
import { parseAckSubject } from './ack-subject.ts'
import type { NatsMessage } from './nats-connection.ts'
import { DEAD_LETTER_ORIGIN, header } from './read-delivery.ts'
import type { Requests } from './requests.ts'
import { readStored } from './stored.ts'

/** What a dead letter tells about its message, beside everything the message had itself. */
export interface Obituary {
  readonly stream: string
  readonly durable: string
  /** Failed attempts. */
  readonly attempts: number
  readonly error: unknown
}

const REASON_CHARACTERS = 500

/**
 * Publishes a message to a dead letter subject, with its content and headers as they were and where it comes from in
 * headers of ours, and waits until a stream has stored it. Only then may the message itself be given up.
 *
 * @throws `POSTCOMMIT_DEAD_LETTER_FAILED`.
 */
export async function publishDeadLetter(
  requests: Requests,
  subject: string,
  message: NatsMessage,
  obituary: Obituary,
): Promise<void> {
  try {
    const { data } = await requests.request(subject, message.data, { headers: headersOf(message, obituary) })
    const answer: unknown = JSON.parse(new TextDecoder().decode(data))
    if (readStored(answer) === undefined) throw new Error(`it was not stored: ${JSON.stringify(answer)}`)
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new PostcommitError('POSTCOMMIT_DEAD_LETTER_FAILED', { id: idOf(message), subject, reason }, { cause })
  }
}

function* headersOf(message: NatsMessage, { stream, durable, attempts, error }: Obituary): Iterable<[string, string]> {
  // Nats-… headers would steer the new publish: the old id would make it a duplicate, an expectation refuse it.
  for (const name of message.headers?.keys() ?? []) {
    if (!/^nats-/i.test(name) && !name.startsWith('postcommit-dead-letter-'))
      yield [name, message.headers?.get(name) ?? '']
  }
  const { sequence, stamp } = parseAckSubject(message.reply ?? '') ?? { sequence: 0, stamp: '0' }
  // Written again after a lost answer, it is stored once.
  yield [NATS_MESSAGE_ID, `dead:${stream}:${durable}:${sequence}:${stamp}`]
  yield [DEAD_LETTER_ORIGIN, `${stream}.${durable}`]
  yield ['postcommit-dead-letter-subject', message.subject]
  yield ['postcommit-dead-letter-sequence', String(sequence)]
  yield ['postcommit-dead-letter-attempts', String(attempts)]
  yield ['postcommit-dead-letter-reason', reasonOf(error).slice(0, REASON_CHARACTERS)]
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error)
}

/** The message id for an error, of a message that may have none. */
export function idOf({ headers, reply }: NatsMessage): string {
  const gid = header(headers, ENVELOPE.gid)
  const sequence = parseAckSubject(reply ?? '')?.sequence
  return gid === undefined ? `#${sequence ?? '?'}` : `${gid}:${header(headers, ENVELOPE.branch) ?? '?'}`
}
