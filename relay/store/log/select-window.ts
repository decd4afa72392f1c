import type { Snapshot } from '../../engine/snapshot.ts'
import type { Queryable } from '../queryable.ts'
import { SEQUENCE } from './advance-sequence.ts'

/** A row of the log, on its way out. */
export interface LogRow {
  readonly id: string
  readonly gid: string
  readonly branch: number
  readonly topic: string
  readonly key: string | null
  readonly payload: string | null
  readonly body: Buffer | null
  readonly headers: string | null
  /** When the business transaction inserted it, unix milliseconds by the database's clock. */
  readonly createdMs: string
}

/** What one read of the log saw. */
export interface Window {
  /** The statement's own snapshot: everything visible in it is either in `rows` or was handed on before. */
  readonly snapshot: string
  /** Where the id sequence stood during the read. */
  readonly sequence: bigint
  /** The database's clock during the read, unix milliseconds. */
  readonly nowMs: number
  readonly rows: readonly LogRow[]
  /** How many bytes the contents of the rows are, those before them in the window included. */
  readonly bytes: number
}

/** How much one read may bring: whichever comes first. One row is always read, however large. */
export interface ReadLimit {
  readonly rows: number
  readonly bytes: number
}

/** Which part of the log to read. */
export interface WindowRange {
  /** What has been handed on. */
  readonly after: Snapshot
  /** Rows with an id at or below are not looked at: those that are not visible in `after` have higher ones. */
  readonly floor: bigint
  readonly slotFirst: number
  readonly slotLast: number
}

/**
 * The columns of a {@link LogRow}. The time is an integer: reading a fraction takes 1 µs a row more, and `extract`
 * counts in numeric, which takes PostgreSQL longer. Without `least` and `greatest` a row from eternity would fail the
 * read, and with it the shard.
 */
export const LOG_COLUMNS = `id, gid, branch, topic, key, payload, body, headers,
      (greatest(-9e15, least(9e15, date_part('epoch', created_at) * 1000)))::int8 as "createdMs"`

/** How many bytes the content of a row is. Of what is stored outside of the row, only its length is looked at. */
export const SIZE = `coalesce(octet_length(payload), octet_length(body)) as size`

/**
 * Of the rows of a statement, in its order, as many as their contents are in bytes: all that begin below the limit. The
 * sum is taken over what LIMIT lets through, in the order in which that comes, so nothing is sorted and nothing is read
 * for it; it adds 0.4 µs a row. Without it a thousand rows of 800 kB ended the process.
 *
 * @param statement - has the columns of a row, `size`, and `place`, by which it is ordered
 * @param bytes - the parameter with the limit
 */
export function bounded(statement: string, bytes: string): string {
  return `select ${LOG_NAMES}, "bytesUpTo" from (
    select page.*, sum(size) over (order by place rows unbounded preceding) as "bytesUpTo" from (${statement}) page
  ) summed where "bytesUpTo" - size < ${bytes}::int8 order by place`
}

/** A row and how many bytes the contents are up to it. */
export interface SizedRow extends LogRow {
  readonly bytesUpTo: string
}

/** How many bytes the contents of rows are that were read with {@link bounded}. */
export function bytesOf(rows: readonly SizedRow[]): number {
  return Number(rows.at(-1)?.bytesUpTo ?? 0)
}

/**
 * The rows that can be new, as two ranges of xid: everything from the old snapshot's xmax on, and what was under way
 * below it. `xid >= xmin and not visible` says the same, but walks every row behind the oldest open transaction: 52 ms
 * instead of 0.6 ms with 500,000 handed-on rows behind one.
 *
 * Both ranges have two ends, although one would do: a planner that knows no values takes a range for narrow, so it
 * reads outbox_xid. With one end it takes `id > $3` for as narrow, and with `= any` alone for narrower where many rows
 * share an xid; then it walks the primary key from the floor on (46 ms over 300,000 rows).
 *
 * Parameters: $1 xmax, $2 xip, $3 floor, $4 and $5 slots, $6 xmin.
 */
const NEW_ROWS = `(
    select xid, slot, ${LOG_COLUMNS}, ${SIZE} from postcommit.outbox
    where xid >= $1::xid8 and xid < '18446744073709551615'::xid8 and id > $3
    union all
    select xid, slot, ${LOG_COLUMNS}, ${SIZE} from postcommit.outbox
    where xid = any($2::xid8[]) and xid >= $6::xid8 and xid < $1::xid8 and id > $3
  ) log`

/**
 * Reads the rows committed since the saved snapshot, oldest id first, and the snapshot to save next.
 *
 * The order is by id, not by xid: a transaction may draw its xid early, wait for a row lock, and insert its message
 * after one with a higher xid has committed; ids are drawn at the insert, under the lock of the key.
 *
 * Plan: Append of two index scans on outbox_xid in the partitions above the floor, Sort, Limit. `id + 0` is an order that the
 * primary key cannot serve: a planner that believes in few rows would otherwise walk it from the floor on.
 * Run it with plan_cache_mode = force_generic_plan: the partitions are pruned by $3 when the plan starts, and an empty
 * window takes 0.20 ms, with 3 partitions as with 72, where planning anew for every read took 0.45 ms. It serves
 * windows up to `limit`; a larger one is worked off by `selectPage`, because every page of this sorts the whole window
 * again (5,000 rows/s instead of 60,000).
 */
export async function selectWindow(client: Queryable, range: WindowRange, limit: ReadLimit): Promise<Window> {
  const { rows } = await client.query<SizedRow & { snapshot: string; sequence: string; nowMs: number }>({
    name: 'postcommit_select_window',
    text: `with moment as materialized (
  select pg_current_snapshot()::text as snapshot,
    (select ${SEQUENCE} from postcommit.outbox_id) as sequence,
    date_part('epoch', clock_timestamp()) * 1000 as "nowMs"
)
select moment.*, new.* from moment left join lateral (
  ${bounded(`select ${LOG_NAMES}, size, id + 0 as place from ${NEW_ROWS} where slot between $4 and $5 order by place limit $7`, '$8')}
) new on true
order by new.id`,
    values: [...rangeValues(range), limit.rows, limit.bytes],
  })
  const [first] = rows
  if (first === undefined) throw new Error('a left join from one row gave no row')
  const { snapshot, sequence, nowMs } = first
  return { snapshot, sequence: BigInt(sequence), nowMs, rows: first.id === null ? [] : rows, bytes: bytesOf(rows) }
}

/** The output names of {@link LOG_COLUMNS}. */
const LOG_NAMES = 'id, gid, branch, topic, key, payload, body, headers, "createdMs"'

/** The parameters of {@link NEW_ROWS}. */
function rangeValues({ after, floor, slotFirst, slotLast }: WindowRange): unknown[] {
  const { xmin, xmax, xip } = after
  return [xmax.toString(), xip.map(String), floor.toString(), slotFirst, slotLast, xmin.toString()]
}
