import type { Queryable } from './queryable.ts'

/**
 * Removes confirmed and discarded deliveries whose retention has passed, in pieces so that no transaction grows long.
 * Index delivery_settled_at; the attempts go with them.
 */
export async function purgeSettled(client: Queryable, retentionMs: number): Promise<number> {
  const { rowCount } = await client.query({
    text: `delete from postcommit.delivery where id in (
  select id from postcommit.delivery
  where settled_at < clock_timestamp() - $1 * interval '1 millisecond' order by settled_at limit 5000
)`,
    values: [retentionMs],
  })
  return rowCount ?? 0
}
