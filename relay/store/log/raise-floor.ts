import type { Queryable } from '../queryable.ts'

/** A position that was saved: rows which its snapshot does not show are above `low`. */
export interface SavedPosition {
  readonly snapshot: string
  readonly low: bigint
}

/** Where readers begin from now on. */
export interface Floor {
  readonly floor: bigint
  readonly floorSnapshot: string
}

/**
 * Moves the floor of a shard to the end of the newest partition that lies below a saved position, if `epoch` stands; only
 * after `liftHiddenMessages` has looked below the old one. Resolves to undefined if the shard has another owner.
 *
 * The end of a partition, because what is looked through for hidden messages are then whole partitions that nothing is
 * written to any more. It may go down: an older bound was not at such an end. Catalog, and one row by primary key.
 */
export async function raiseFloor(
  client: Queryable,
  shard: number,
  epoch: string,
  { snapshot, low }: SavedPosition,
): Promise<Floor | undefined> {
  const { rows } = await client.query<{ floor: string }>({
    name: 'postcommit_raise_floor',
    text: `update postcommit.position set floor_snapshot = $3::pg_snapshot, floor = (
  select coalesce(max("end" - 1), 0) from (
    select substring(pg_get_expr(child.relpartbound, child.oid) from $$TO \\('?(\\d+)'?\\)$$)::bigint as "end"
    from pg_inherits join pg_class child on child.oid = inhrelid where inhparent = 'postcommit.outbox'::regclass
  ) partition where "end" - 1 <= $4
)
where shard = $1 and epoch = $2 returning floor`,
    values: [shard, epoch, snapshot, low.toString()],
  })
  const [row] = rows
  return row === undefined ? undefined : { floor: BigInt(row.floor), floorSnapshot: snapshot }
}
