import { createHash } from 'node:crypto'
import { draftMessages, type MessageDraft } from '../commit/message.ts'
import { encodePayload } from '../commit/payload.ts'
import { PostcommitError } from '../protocol/errors.ts'
import type { Gid } from '../protocol/gid.ts'
import { ENTRY_BYTES_MAX, type EntryMessage } from '../protocol/redis-entry.ts'
import type { CollectedMessage } from '../store/collected-message.ts'
import { invalidOptions } from './connection.ts'

/** What follows from something that is done in Redis. */
export interface EntryOptions {
  /**
   * What makes it happen once: the user, the cart, the request. The same again is answered `duplicate` with the gid of
   * the first time, for as long as the barrier lives. Without it every call is one of its own.
   */
  readonly once?: string | number
  /** For whoever writes it into the database: a JSON value. With messages and all, an entry has 65,536 bytes at most. */
  readonly payload?: unknown
  /** Messages that go out with it, drafted as in `outbox.commit()`. */
  readonly messages?: (message: MessageDraft) => unknown
}

/** The same for the same name and `once`, in any process. */
export function gidOf(name: string, once: string): Gid {
  return createHash('sha256').update(`${name}\n${once}`).digest('base64url').slice(0, 32) as Gid
}

/** @throws `POSTCOMMIT_INVALID_OPTIONS`. */
export function readOnce(caller: string, once: string | number): string {
  const text = String(once)
  if (text === '' || text.length > 255 || /[\p{Cc}\p{Surrogate}]/u.test(text)) {
    throw invalidOptions(caller, 'once is not 1 to 255 characters without control characters')
  }
  return text
}

/**
 * The text of an entry. `fields` are what the library puts there, of plain characters.
 * @throws `POSTCOMMIT_INVALID_PAYLOAD`, `POSTCOMMIT_PAYLOAD_TOO_LARGE`, and what a {@link MessageDraft} throws.
 */
export async function encodeEntry(
  name: string,
  fields: Readonly<Record<string, string | number>>,
  once: string | undefined,
  { payload, messages }: EntryOptions,
): Promise<string> {
  const parts = [JSON.stringify(fields).slice(1, -1)]
  if (once !== undefined) parts.push(`"once":${JSON.stringify(once)}`)
  if (payload !== undefined) parts.push(`"payload":${jsonText(name, payload)}`)
  const collected = messages === undefined ? [] : await collect(messages)
  if (collected.length > 0) parts.push(`"messages":${JSON.stringify(collected.map(entryMessage))}`)
  const text = `{${parts.join(',')}}`
  const bytes = text.length * 3 <= ENTRY_BYTES_MAX ? 0 : Buffer.byteLength(text)
  if (bytes <= ENTRY_BYTES_MAX) return text
  throw new PostcommitError('POSTCOMMIT_PAYLOAD_TOO_LARGE', { target: name, bytes, limit: ENTRY_BYTES_MAX })
}

function jsonText(name: string, payload: unknown): string {
  const { text } = encodePayload(payload, name, ENTRY_BYTES_MAX)
  if (text !== undefined) return text
  const reason = 'it is a Uint8Array, which an entry cannot carry'
  throw new PostcommitError('POSTCOMMIT_INVALID_PAYLOAD', { target: name, reason })
}

async function collect(messages: (message: MessageDraft) => unknown): Promise<readonly CollectedMessage[]> {
  const { draft, collect } = draftMessages(undefined, { payloadBytesMax: ENTRY_BYTES_MAX })
  await messages(draft)
  return await collect()
}

function entryMessage(message: CollectedMessage): EntryMessage {
  const { branch, target, key, headers, content } = message
  return {
    branch,
    target,
    ...(key !== undefined && { key }),
    ...(headers !== undefined && { headers }),
    ...(content.text === undefined ? { bytes: content.bytes.toString('base64') } : { text: content.text }),
    ...(message.kind === 'delivery' && {
      destination: message.destination,
      ...(message.due.at === undefined ? { delayMs: message.due.delayMs } : { at: message.due.at.toISOString() }),
    }),
  }
}
