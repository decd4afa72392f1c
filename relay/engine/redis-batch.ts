import { EntryOp, parseRedisEntry, type RedisEntry } from 'postcommit/protocol'

/** An entry as it was read from a stream. */
export interface RawEntry {
  readonly id: string
  readonly text: string | undefined
  readonly epoch: string
  readonly value: string | undefined
}

/** An entry that says what it should. */
export interface ReadEntry extends RedisEntry {
  readonly raw: RawEntry
}

/** An entry that is set aside, with why. */
export interface ParkedEntry {
  readonly raw: RawEntry
  /** Absent: it says nothing that could be understood. */
  readonly entry?: RedisEntry
  readonly reason: string
}

/**
 * What can be applied of a batch and what cannot. `isWritten`: a function of the user's writes entries into the
 * database; where there is none, an entry of a deduction without a message would be taken from the stock and lead to
 * nothing.
 */
export function readBatch(
  raws: readonly RawEntry[],
  isWritten: boolean,
): { readonly entries: readonly ReadEntry[]; readonly broken: readonly ParkedEntry[] } {
  const entries: ReadEntry[] = []
  const broken: ParkedEntry[] = []
  for (const raw of raws) {
    const read = readEntry(raw)
    if (typeof read === 'string') broken.push({ raw, reason: read })
    else if (isWritten || read.messages !== undefined || read.op === EntryOp.giveBack) entries.push(read)
    else broken.push({ raw, entry: read, reason: 'it names no message, and this relay has no write() for it' })
  }
  return { entries, broken }
}

function readEntry(raw: RawEntry): ReadEntry | string {
  if (raw.text === undefined) return 'it has no field `entry`'
  try {
    return { ...parseRedisEntry(raw.text), raw }
  } catch (error) {
    return `it cannot be read: ${error instanceof Error ? error.message : String(error)}`
  }
}

/** What a failed transaction is to be blamed on. */
export const Blame = {
  /** The moment: the server restarts, a deadlock. The same may succeed. */
  moment: 'moment',
  /** What writes: it would fail with any entry, as with a table that is missing. */
  writer: 'writer',
  /** Perhaps one of the entries. */
  entry: 'entry',
} as const
/** One of {@link Blame}. */
export type Blame = (typeof Blame)[keyof typeof Blame]

// Connections, transaction states, rollbacks for concurrency, shortages, locks, shutdowns, the system, internal errors.
const MOMENT = new Set(['08', '25', '40', '53', '55', '57', '58', 'XX'])
// Not supported, wrong authorization, unknown schema, syntax and access rules.
const WRITER = new Set(['0A', '28', '3D', '3F', '42'])

/** What to do with a transaction that failed with this SQLSTATE; undefined: the error is not one of PostgreSQL. */
export function blame(sqlState: string | undefined): Blame {
  const kind = sqlState?.slice(0, 2) ?? ''
  if (MOMENT.has(kind)) return Blame.moment
  return WRITER.has(kind) ? Blame.writer : Blame.entry
}

/**
 * Applies as many items as can be, in their order, and finds those that cannot: what fails is tried again in halves. An
 * error that is not to be blamed on an item ends it and is thrown.
 */
export async function isolate<Item>(
  items: readonly Item[],
  apply: (items: readonly Item[]) => Promise<void>,
  isItems: (error: unknown) => boolean,
): Promise<{ readonly applied: readonly Item[]; readonly failed: readonly { item: Item; error: unknown }[] }> {
  const [first] = items
  if (first === undefined) return { applied: [], failed: [] }
  try {
    await apply(items)
    return { applied: items, failed: [] }
  } catch (error) {
    if (!isItems(error)) throw error
    if (items.length === 1) return { applied: [], failed: [{ item: first, error }] }
  }
  const middle = items.length >> 1
  const before = await isolate(items.slice(0, middle), apply, isItems)
  const after = await isolate(items.slice(middle), apply, isItems)
  return { applied: [...before.applied, ...after.applied], failed: [...before.failed, ...after.failed] }
}
