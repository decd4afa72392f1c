import { PostcommitError } from '../protocol/errors.ts'
import { describeIssues, type StandardSchema } from '../standard-schema.ts'

/** How a consumer turns the JSON value of a message into what it handles; at most one of the two. */
export interface PayloadOptions<Payload> {
  /** Any Standard Schema; what it gives back is `delivery.payload`. A message it refuses is never handled. */
  readonly schema?: StandardSchema<unknown, Payload>
  /** A function instead of a schema; what it throws counts as a refusal of the message, not as a failed attempt. */
  readonly parse?: (payload: unknown) => Payload | Promise<Payload>
}

/** The exact content of a message, and the value it holds. */
export interface Content {
  readonly content: string | Uint8Array
  readonly value: unknown
}

/** Why a content cannot be read. */
export interface ContentProblem {
  readonly problem: 'type' | 'encoding' | 'json'
  readonly reason: string
}

const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Reads content by its type: JSON, which becomes a value, or bytes, which stay what they are. */
export function readContent(contentType: string | undefined, bytes: Uint8Array): Content | ContentProblem {
  switch (mediaType(contentType)) {
    case 'application/json':
      return readJson(bytes)
    case 'application/octet-stream':
      return { content: bytes, value: bytes }
    default:
      return { problem: 'type', reason: `content-type ${contentType ?? 'is missing'} is neither JSON nor octet-stream` }
  }
}

function mediaType(contentType: string | undefined): string | undefined {
  return contentType?.split(';', 1)[0]?.trim().toLowerCase()
}

/** Nothing is no JSON, and no problem either: the step of a saga that has no data is called with none. */
function readJson(bytes: Uint8Array): Content | ContentProblem {
  if (bytes.length === 0) return { content: '', value: undefined }
  let content: string
  try {
    content = UTF8.decode(bytes)
  } catch {
    return { problem: 'encoding', reason: 'the content is not UTF-8' }
  }
  try {
    return { content, value: JSON.parse(content) }
  } catch {
    return { problem: 'json', reason: 'the content is not JSON' }
  }
}

/**
 * Checks the value of a message.
 * @param id - the message id, for the error
 * @throws `POSTCOMMIT_DELIVERY_MISMATCH`.
 */
export async function checkPayload<Payload>(
  options: PayloadOptions<Payload>,
  id: string,
  value: unknown,
): Promise<Payload> {
  if (options.schema !== undefined) {
    const result = await options.schema['~standard'].validate(value)
    if (result.issues === undefined) return result.value
    throw new PostcommitError('POSTCOMMIT_DELIVERY_MISMATCH', { id, issues: describeIssues(result.issues) })
  }
  // Without a schema nothing narrows the payload, and its type is the `unknown` that the signatures give it.
  if (options.parse === undefined) return value as Payload
  try {
    return await options.parse(value)
  } catch (cause) {
    const issues = cause instanceof Error ? cause.message : String(cause)
    throw new PostcommitError('POSTCOMMIT_DELIVERY_MISMATCH', { id, issues }, { cause })
  }
}
