import type { Queryable } from '../queryable.ts'

/** Rows of the log that a reader would never see. */
export interface HiddenRange {
  /** Where readers begin, and the snapshot for which no message was missed by that. */
  readonly floor: bigint
  readonly floorSnapshot: string
  readonly slotFirst: number
  readonly slotLast: number
}

/** Ids that the sequence gives to no other message: from `next` to below `end`. */
export interface FreeIds {
  readonly next: bigint
  readonly end: bigint
}

/**
 * Whether messages were committed at or below the floor of a shard, where no reader looks: their ids were drawn from a
 * sequence that had been set back. Nobody has read them: since `floorSnapshot` only rows above the floor were.
 *
 * `floor` is the end of a partition, so this looks into whole partitions that have long been handed on: one descent in
 * outbox_xid for each, which finds nothing.
 */
export async function hasHiddenMessages(client: Queryable, range: HiddenRange): Promise<boolean> {
  const { rows } = await client.query<{ found: boolean }>({
    name: 'postcommit_find_hidden_messages',
    text: `select exists (select from postcommit.outbox log where ${HIDDEN}) as found`,
    values: valuesOf(range),
  })
  return rows[0]?.found === true
}

/**
 * Gives hidden messages new ids, from `room` as far as it goes, in the order in which they were inserted, and the xid of this transaction, so that the
 * next read finds them like any other. Resolves to how many there were. What is committed after this statement has begun
 * is found by the next one, which looks from a later snapshot that does not show it either.
 *
 * The xid is drawn before the ids, as at every insert. Locks the rows alone. Plan as above, then each row by its id.
 */
export async function liftHiddenMessages(client: Queryable, range: HiddenRange, room?: FreeIds): Promise<number> {
  const { rowCount } = await client.query({
    text: `with here as materialized (
  select pg_current_xact_id() as xid
), hidden as materialized (
  select id as old, xid,
    case when $5::bigint + row <= $6::bigint then $5::bigint + row - 1 else nextval('postcommit.outbox_id') end as fresh
  from (
    select log.id, here.xid, row_number() over (order by log.created_at, log.id) as row from here cross join postcommit.outbox log where ${HIDDEN} order by row
  ) ordered
)
update postcommit.outbox log set id = hidden.fresh, xid = hidden.xid from hidden where log.id = hidden.old`,
    values: [...valuesOf(range), room?.next.toString() ?? null, room?.end.toString() ?? null],
  })
  return rowCount ?? 0
}

const valuesOf = ({ floor, floorSnapshot, slotFirst, slotLast }: HiddenRange): unknown[] => [
  floor.toString(),
  floorSnapshot,
  slotFirst,
  slotLast,
]

/** Parameters: $1 floor, $2 its snapshot, $3 and $4 slots. Both ends of the range of xid: see `selectWindow`. */
const HIDDEN = `id <= $1 and slot between $3 and $4
  and log.xid >= pg_snapshot_xmin($2::pg_snapshot) and log.xid < '18446744073709551615'::xid8
  and not pg_visible_in_snapshot(log.xid, $2::pg_snapshot)`
