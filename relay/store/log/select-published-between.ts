import type { Snapshot } from '../../engine/snapshot.ts'
import type { Queryable } from '../queryable.ts'

/** A row of the log that the broker has acknowledged. */
export interface TailedPublish {
  readonly id: string
  readonly gid: string
  readonly branch: number
  readonly topic: string
  readonly key: string | null
  readonly ageMs: number
}

/** A part of the log between two of its positions. */
export interface PublishedRange {
  readonly after: Snapshot
  readonly until: string
  readonly low: string
  readonly slotFirst: number
  readonly slotLast: number
}

/**
 * What a shard has handed on between two saves of its position, without what it set aside.
 * Index outbox_xid, as in `selectWindow`.
 */
export async function selectPublishedBetween(
  client: Queryable,
  { after, until, low, slotFirst, slotLast }: PublishedRange,
  limit: number,
): Promise<readonly TailedPublish[]> {
  const { rows } = await client.query<TailedPublish>({
    text: `select id, gid, branch, topic, key,
  extract(epoch from clock_timestamp() - created_at)::float8 * 1000 as "ageMs"
from postcommit.outbox log
where (xid >= $1::xid8 or xid = any($2::xid8[])) and id > $3 and slot between $4 and $5
  and pg_visible_in_snapshot(xid, $6::pg_snapshot)
  and not exists (select from postcommit.delivery d where d.id = log.id)
order by id limit $7`,
    values: [after.xmax.toString(), after.xip.map(String), low, slotFirst, slotLast, until, limit],
  })
  return rows
}
