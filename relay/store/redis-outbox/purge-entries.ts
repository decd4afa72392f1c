import type { Queryable } from '../queryable.ts'

const CHUNK = 5000
/** Of outboxes without a stock, of which nobody has said how long their barriers live. */
const UNSAID_DAYS = 30

/**
 * Forgets entries that were applied so long ago that their barrier in Redis has ended and retention has passed: before
 * that, one could be read or made again. In pieces, as all that is purged. Index redis_entry_applied, stopped
 * by LIMIT; if nothing is old, one look at its first row.
 */
export async function purgeEntries(client: Queryable, retentionMs: number): Promise<number> {
  let purged = 0
  for (;;) {
    const { rowCount } = await client.query({
      name: 'postcommit_purge_entries',
      text: `delete from postcommit.redis_entry where ctid = any(array(
  select e.ctid from postcommit.redis_entry e left join postcommit.redis_outbox o using (name)
  where e.applied_at < statement_timestamp() - greatest($1, (select min(barrier_ms) from postcommit.redis_outbox)) * interval '1 millisecond'
    and e.applied_at < statement_timestamp() - greatest($1, o.barrier_ms) * interval '1 millisecond'
      - case when o.name is null then interval '${UNSAID_DAYS} days' else interval '0' end
  order by e.applied_at limit $2
))`,
      values: [retentionMs, CHUNK],
    })
    purged += rowCount ?? 0
    if ((rowCount ?? 0) < CHUNK) return purged
  }
}
