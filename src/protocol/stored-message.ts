import { NATS_DESTINATION, parseDestination, parsePath } from './destination.ts'
import { gidProblem } from './gid.ts'
import { ENVELOPE, headersProblem, type MessageHeaders, parseHeaders } from './headers.ts'
import { isInvalidationTopic } from './invalidation.ts'
import { keyProblem } from './key.ts'
import { LIMITS } from './limits.ts'
import { topicProblem } from './subject.ts'

/** A message as it is stored: a row of the log or of `delivery`, or what an entry of Redis asks for. */
export interface StoredMessage {
  readonly gid: string
  readonly branch: number
  readonly key: string | null
  readonly payload: string | null
  readonly body: Uint8Array | null
  /** JSON text. */
  readonly headers: string | null
}

/** The highest number of a message in its transaction that a message id can carry. */
export const BRANCH_MAX = 999_999_999

/**
 * Why a stored message must not be sent, or `undefined` if the SDK could have written it.
 *
 * Whoever may insert a row is not the relay: a subject, a header or a path that the writer of a row chooses is used
 * with the relay's rights. So whatever turns rows into messages asks this first, by the grammar of the SDK's own edge.
 *
 * @param destination - {@link NATS_DESTINATION}, or the name of a destination that is called
 * @param target - the subject, or the path below the destination
 */
export function storedMessageProblem(message: StoredMessage, destination: string, target: string): string | undefined {
  const { gid, branch, key, headers } = message
  const ofGid = gidProblem(gid)
  if (ofGid !== undefined) return `its gid is not valid: ${ofGid}`
  if (!(branch >= 0 && branch <= BRANCH_MAX)) return `its branch is not from 0 to ${BRANCH_MAX}`
  const ofTarget = targetProblem(destination, target)
  if (ofTarget !== undefined) return ofTarget
  const ofKey = key === null ? undefined : keyProblem(key)
  if (ofKey !== undefined) return `its key is not valid: ${ofKey}`
  const ofHeaders = headers === null ? undefined : storedHeadersProblem(headers, key)
  return ofHeaders ?? contentProblem(message)
}

function targetProblem(destination: string, target: string): string | undefined {
  if (destination !== NATS_DESTINATION) {
    return problemOf(() => parseDestination(destination)) ?? problemOf(() => parsePath(target))
  }
  const reason = isInvalidationTopic(target) ? undefined : topicProblem(target)
  return reason === undefined ? undefined : `its topic is not valid: ${reason}`
}

/** @throws what {@link parseHeaders} throws, also if the text is no JSON object. */
export function parseStoredHeaders(text: string, key: string | null): MessageHeaders {
  const headers = objectIn(text)
  // A delayed message has no place in the order of its key, and carries the key as a header instead.
  const { [ENVELOPE.key]: carried, ...given } = headers
  if (carried === undefined || key !== null || !isEncodedKey(carried)) return parseHeaders(headers)
  return { ...parseHeaders(given), [ENVELOPE.key]: carried }
}

function storedHeadersProblem(text: string, key: string | null): string | undefined {
  return problemOf(() => parseStoredHeaders(text, key))
}

function objectIn(text: string): Readonly<Record<string, string>> {
  const value = jsonIn(text)
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, string>
  return headersProblem('the headers are not a JSON object')
}

function isEncodedKey(value: string): boolean {
  try {
    return typeof value === 'string' && encodeURIComponent(decodeURIComponent(value)) === value && value !== ''
  } catch {
    return false
  }
}

function contentProblem({ payload, body }: StoredMessage): string | undefined {
  if ((payload === null) === (body === null)) return 'it has not one content'
  const bytes = body?.byteLength ?? bytesOf(payload ?? '')
  if (bytes > LIMITS.payloadBytesHard) return `its payload is ${bytes} bytes; the limit is ${LIMITS.payloadBytesHard}`
  return payload !== null && jsonIn(payload) === undefined ? 'its payload is not JSON' : undefined
}

/** Of a text that is surely short enough only about: counting takes longer. */
function bytesOf(text: string): number {
  return text.length * 3 <= LIMITS.payloadBytesHard ? text.length : Buffer.byteLength(text)
}

/** Undefined, which JSON has no text for: it is none. */
function jsonIn(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function problemOf(parse: () => unknown): string | undefined {
  try {
    parse()
    return undefined
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}
