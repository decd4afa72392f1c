import { HANDED_ON } from '../log/handed-on.ts'
import type { Queryable } from '../queryable.ts'

/**
 * Whether a partition holds a message that has not been handed on. Asked before it is emptied, under its lock, whatever the
 * positions say of its ids. Index outbox_xid of the partition, above the oldest position: nothing, as a rule.
 */
export async function selectHasWaiting(client: Queryable, partition: string): Promise<boolean> {
  const { rows } = await client.query<{ waiting: boolean }>({
    text: `select exists (
  select from postcommit.${partition} log
  where log.xid >= (
    select least(pg_snapshot_xmin(snapshot), pg_snapshot_xmin(floor_snapshot)) as xmin from postcommit.position order by xmin limit 1
  )
    and not ${HANDED_ON}
) as waiting`,
  })
  return rows[0]?.waiting !== false
}
