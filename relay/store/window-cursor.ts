import type { Queryable } from './queryable.ts'
import { LOG_NAMES, type LogRow, NEW_ROWS, rangeValues, type WindowRange } from './select-window.ts'

/** A frozen window: what to read of the log while working off a backlog. */
export interface FrozenRange extends WindowRange {
  /** Only rows visible in this snapshot. */
  readonly until: string
  /** Only rows above this id: what is below has been handed on. */
  readonly fromId: bigint
}

/**
 * Opens a cursor over a frozen window. WITH HOLD sorts it once, spools it to disk and holds no snapshot and no xmin
 * while it is worked off, which can take minutes: 51,000 to 76,000 rows/s end to end, where paging with LIMIT sorts
 * the window again for every page (5,000). `limit` bounds what is spooled; a longer window is read in several cursors.
 */
export async function openWindowCursor(client: Queryable, range: FrozenRange, limit: number): Promise<void> {
  await client.query({ text: 'close all' })
  // DECLARE takes no parameters over the extended protocol's planner in older servers, so the values are spelled out;
  // every one of them is a number or made of digits, commas and colons by its parser.
  const values = rangeValues(range).map(literal)
  const rows = NEW_ROWS.replace(/\$(\d)/g, (_, at: string) => values[Number(at) - 1] ?? 'null')
  await client.query({
    text: `declare postcommit_window no scroll cursor with hold for
select ${LOG_NAMES} from ${rows}
where slot between ${range.slotFirst} and ${range.slotLast}
  and pg_visible_in_snapshot(xid, ${literal(range.until)}::pg_snapshot) and id > ${range.fromId}
order by id limit ${limit}`,
  })
}

/** The next rows of the open cursor; fewer than `count` means that it is at its end. */
export async function fetchWindow(client: Queryable, count: number): Promise<readonly LogRow[]> {
  const { rows } = await client.query<LogRow>({ text: `fetch forward ${count} from postcommit_window` })
  return rows
}

function literal(value: unknown): string {
  const text = Array.isArray(value) ? `{${value.join(',')}}` : String(value)
  if (!/^[\d:,{}]*$/.test(text)) throw new Error(`not made of digits: ${text}`)
  return `'${text}'`
}
