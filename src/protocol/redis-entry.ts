import { parseDestination } from './destination.ts'
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
} from './read-json.ts'

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

function readMessage(value: unknown, path: string): EntryMessage {
  const message = readObject(value, path, [
    'branch',
    'destination',
    'target',
    'key',
    'headers',
    'text',
    'bytes',
    'delayMs',
    'at',
  ]) as Partial<EntryMessage>
  readInteger(message.branch, `${path}.branch`, 1, LIMITS.messagesPerTransaction)
  readText(message.target, `${path}.target`, LIMITS.pathCharacters)
  const { destination } = message
  if (destination !== undefined && destination !== 'nats') readWith(path, () => parseDestination(destination))
  if ((typeof message.text === 'string') === (typeof message.bytes === 'string')) {
    throw new Unreadable(path, 'it has not one content')
  }
  return message as EntryMessage
}
