import type { IoredisLike, NodeRedisLike } from '../redis/evaluate.ts'
import { connectTo, requireSuitable } from './connection.ts'
import { READ, STOP } from './scripts.ts'

/** One entry as it lies in the stream. */
export interface StreamEntry {
  /** Its id in the stream: milliseconds of the server's clock, and a number. */
  readonly id: string
  /** JSON; undefined if it is not one that an outbox has added. */
  readonly text: string | undefined
  readonly epoch: string
  /** What a script of the user's own returned. */
  readonly value: string | undefined
}

/** What a look at the stream has shown. */
export interface EntryReading {
  /** Undefined: there is no stock in this Redis. */
  readonly epoch: string | undefined
  /** Why nothing is sold. */
  readonly stopped: string | undefined
  /** How many entries there are, those read included. */
  readonly length: number
  /** The oldest. */
  readonly entries: readonly StreamEntry[]
}

/** The stream of an outbox, from the side of a relay. */
export interface EntryStream {
  /** @throws `POSTCOMMIT_REDIS_UNSUITABLE`, and what the client throws. */
  requireSuitable(): Promise<void>
  /** Deletes entries that are applied and reads the oldest of those that are left: one round trip. */
  read(applied: readonly string[], count: number): Promise<EntryReading>
  /** Lets nothing be sold any more under this epoch. */
  stop(epoch: string, reason: string): Promise<void>
}

/**
 * Opens the stream of an outbox for a relay.
 * @throws `POSTCOMMIT_INVALID_OPTIONS`.
 */
export function entryStream(client: NodeRedisLike | IoredisLike, name: string): EntryStream {
  const connection = connectTo(client, name, 'entryStream')
  const { keys, run } = connection
  return {
    requireSuitable: () => requireSuitable(connection),
    async read(applied, count) {
      const [epoch, stopped, length, entries] = await run(READ, [keys.stream, keys.stock], [String(count), ...applied])
      return {
        epoch: textOrNone(epoch),
        stopped: textOrNone(stopped),
        length: Number(length),
        entries: Array.isArray(entries) ? entries.map(readEntry) : [],
      }
    },
    async stop(epoch, reason) {
      await run(STOP, [keys.stock], [epoch, reason])
    },
  }
}

function readEntry(reply: unknown): StreamEntry {
  const [id, fields] = reply as readonly [unknown, readonly unknown[]]
  const field = (name: string) => {
    const index = fields.findIndex((value, position) => position % 2 === 0 && value === name)
    return index < 0 ? undefined : textOrNone(fields[index + 1])
  }
  return { id: String(id), text: field('entry'), epoch: field('epoch') ?? '', value: field('value') }
}

function textOrNone(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}
