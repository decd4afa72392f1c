import type { Queryable } from '../queryable.ts'

const CHUNK = 5000

/**
 * Removes confirmed and discarded deliveries whose retention has passed, and resolves to how many. In pieces, each a
 * transaction of its own, so that none grows long and holds back the vacuum; until nothing is left, so that it keeps up
 * with any rate of deliveries. The attempts go with them.
 *
 * Plan: Index Scan on delivery_settled_at, stopped by LIMIT, then the primary key; 5,000 rows in 40 ms.
 */
export async function purgeSettled(client: Queryable, retentionMs: number): Promise<number> {
  let purged = 0
  for (;;) {
    const { rowCount } = await client.query({
      name: 'postcommit_purge_settled',
      text: `delete from postcommit.delivery where id in (
  select id from postcommit.delivery
  where settled_at < statement_timestamp() - $1 * interval '1 millisecond'
  order by settled_at limit $2
)`,
      values: [retentionMs, CHUNK],
    })
    purged += rowCount ?? 0
    if ((rowCount ?? 0) < CHUNK) return purged
  }
}
