import type { Queryable } from '../queryable.ts'
import { HANDED_ON } from './handed-on.ts'

/**
 * Clears what landed in the default partition while no relay made partitions: handed on, and older than the
 * retention. In pieces, so that no transaction grows long; primary key range.
 * Asked row by row, because a message below `low` may come from a sequence that was set back.
 */
export async function deleteFromDefault(client: Queryable, low: bigint, retentionMs: number): Promise<number> {
  const { rowCount } = await client.query({
    text: `delete from postcommit.outbox_default where id in (
  select id from postcommit.outbox_default log
  where id <= $1 and ${HANDED_ON} and created_at < clock_timestamp() - $2 * interval '1 millisecond' order by id limit 10000
)`,
    values: [low.toString(), retentionMs],
  })
  return rowCount ?? 0
}
