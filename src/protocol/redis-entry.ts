import { NATS_DESTINATION } from './destination.ts'
import { type Gid, parseGid } from './gid.ts'
import { LIMITS } from './limits.ts'
import {
  readInteger,
  readJson,
  readList,
  readObject,
  readOptional,
  readText,
  readWith,
  readWord,
  Unreadable,
  withoutAbsent,
} from './read-json.ts'
import { type StoredMessage, storedMessageProblem } from './stored-message.ts'

/** The names of outboxes in Redis, and so their hash tags. */
export const REDIS_OUTBOX_NAME = /^[A-Za-z0-9_.-]{1,64}$/
/** The names of stocks. */
export const STOCK_KEY = /^[A-Za-z0-9_][A-Za-z0-9_.:-]{0,63}$/
/** So that sums of them are exact in Lua, JavaScript and PostgreSQL. */
export const UNITS_MAX = 1_000_000_000_000
/** Of one entry, payload and messages included: a relay holds a whole batch of them. */
export const ENTRY_BYTES_MAX = 64 * 1024
const ONCE_CHARACTERS_MAX = 255

/** What an entry says has happened in Redis. */
export const EntryOp = { deduct: 'deduct', giveBack: 'give_back', script: 'script' } as const
/** One of {@link EntryOp}. */
export type EntryOp = (typeof EntryOp)[keyof typeof EntryOp]

/** A message that an entry asks for, as `outbox.commit()` would write it. */
export interface EntryMessage {
  readonly branch: number
  /** Absent: it is published. */
  readonly destination?: string
  /** The subject, or the path below the destination. */
  readonly target: string
  readonly key?: string
  /** JSON text. */
  readonly headers?: string
  readonly text?: string
  /** Base64. */
  readonly bytes?: string
  readonly delayMs?: number
  /** ISO 8601. */
  readonly at?: string
}

/** An entry of the stream of an outbox in Redis: what one script has done there, and what is to follow. */
export interface RedisEntry {
  readonly op: EntryOp
  readonly gid: Gid
  /** The stock, and how many units; both or neither. */
  readonly key?: string
  readonly qty?: number
  /** Whatever makes it happen once, as the caller gave it. */
  readonly once?: string
  readonly payload?: unknown
  readonly messages?: readonly EntryMessage[]
}

/** @throws {@link Unreadable} saying what is wrong and where. */
export function parseRedisEntry(text: string): RedisEntry {
  const fields = readObject(readJson(text), '', ['op', 'gid', 'key', 'qty', 'once', 'payload', 'messages'])
  const op = readWord(fields['op'], 'op', Object.values(EntryOp))
  const gid = readWith('gid', () => parseGid(fields['gid'] as string))
  const once = readOptional(fields['once'], 'once', (value, path) => readText(value, path, ONCE_CHARACTERS_MAX))
  const messages = readOptional(fields['messages'], 'messages', (value, path) =>
    readList(value, path, [1, LIMITS.messagesPerTransaction], readMessage),
  )
  return {
    op,
    gid,
    ...(op !== EntryOp.script && {
      key: readStockKey(fields['key']),
      qty: readInteger(fields['qty'], 'qty', 1, UNITS_MAX),
    }),
    ...(once !== undefined && { once }),
    ...('payload' in fields && { payload: fields['payload'] }),
    ...(messages !== undefined && { messages }),
  }
}

function readStockKey(value: unknown): string {
  if (typeof value === 'string' && STOCK_KEY.test(value)) return value
  throw new Unreadable('key', 'not the name of a stock')
}

const MESSAGE_FIELDS = ['branch', 'destination', 'target', 'key', 'headers', 'text', 'bytes', 'delayMs', 'at']

/** Who may write an entry is not the relay: a message of it is held to what `outbox.commit()` would take. */
function readMessage(value: unknown, path: string): EntryMessage {
  const message = readObject(value, path, MESSAGE_FIELDS)
  const branch = readInteger(message['branch'], `${path}.branch`, 1, LIMITS.messagesPerTransaction)
  const text = (name: string, charactersMax: number) =>
    readOptional(message[name], `${path}.${name}`, (field, where) => readString(field, where, charactersMax))
  const target = text('target', LIMITS.pathCharacters) ?? ''
  const destination = text('destination', LIMITS.subjectCharacters)
  const content = { text: text('text', ENTRY_BYTES_MAX), bytes: text('bytes', ENTRY_BYTES_MAX) }
  const [key, headers] = [text('key', LIMITS.pathCharacters), text('headers', ENTRY_BYTES_MAX)]
  const stored: StoredMessage = {
    gid: ANY_GID,
    branch,
    key: key ?? null,
    payload: content.text ?? null,
    body: content.bytes === undefined ? null : readBase64(content.bytes, `${path}.bytes`),
    headers: headers ?? null,
  }
  const problem = storedMessageProblem(stored, destination ?? NATS_DESTINATION, target)
  if (problem !== undefined) throw new Unreadable(path, problem)
  const delayMs = readOptional(message['delayMs'], `${path}.delayMs`, readDelay)
  const at = readOptional(message['at'], `${path}.at`, readTime)
  return withoutAbsent<EntryMessage>({ branch, destination, target, key, headers, ...content, delayMs, at })
}

/** That of the entry has been read by then. */
const ANY_GID = 'g'

function readString(value: unknown, path: string, charactersMax: number): string {
  if (typeof value !== 'string') throw new Unreadable(path, 'not a string')
  // PostgreSQL refuses the first and silently replaces the second.
  if (/[\0\p{Surrogate}]/u.test(value)) throw new Unreadable(path, 'it has NUL characters or lone surrogates')
  if (value.length > charactersMax) throw new Unreadable(path, `it has more than ${charactersMax} characters`)
  return value
}

function readBase64(text: string, path: string): Uint8Array {
  const bytes = Buffer.from(text, 'base64')
  if (bytes.toString('base64') !== text) throw new Unreadable(path, 'not canonical base64')
  return bytes
}

function readDelay(value: unknown, path: string): number {
  if (typeof value === 'number' && value >= 0 && value <= LIMITS.delayMs) return value
  throw new Unreadable(path, 'not milliseconds from 0 to one year')
}

function readTime(value: unknown, path: string): string {
  const time = typeof value === 'string' ? new Date(value) : undefined
  if (time !== undefined && !Number.isNaN(time.getTime()) && time.toISOString() === value) return value
  throw new Unreadable(path, 'not a time in ISO 8601')
}
