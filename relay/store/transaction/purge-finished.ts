import type { Queryable } from '../queryable.ts'
import { UNSETTLED } from './hand-over.ts'

const CHUNK = 2000

/**
 * Removes transactions that have been finished for longer than `retentionMs`, with their branches and their story;
 * resolves to how many. In pieces, each a transaction of its own, so that none grows long and holds back the vacuum.
 *
 * There is no index on the end of a transaction, which every one of them would have to write: this walks along the ids,
 * oldest first, past what is unfinished, and stops at those that were handed in after the limit, because they cannot
 * have ended before it.
 *
 * The gid is free again afterwards. The retention therefore has to be longer than the time for which a client may
 * still repeat what it handed in, and than the longest delay of a call on its way.
 *
 * Plan: Index Scan on global_transaction_pkey, stopped by LIMIT; deletes by primary key, by branch_pkey and by
 * branch_attempt_transaction; 2,000 transactions read and 1,600 of one branch each removed in 14 ms.
 */
export async function purgeFinished(client: Queryable, retentionMs: number): Promise<number> {
  let purged = 0
  for (let last = '0'; ; ) {
    const { rows } = await client.query<{ seen: number; last: string | null; purged: number }>({
      name: 'postcommit_purge_finished',
      text: `with seen as materialized (
  select id, finished_at from postcommit.global_transaction
  where id > $1::bigint and created_at < statement_timestamp() - $2::float8 * interval '1 millisecond'
  order by id limit $3
), gone as (
  delete from postcommit.global_transaction t using seen
  where t.id = seen.id and seen.finished_at < statement_timestamp() - $2::float8 * interval '1 millisecond'
    and not ${UNSETTLED}
  returning t.id, t.tenant, t.content
), keys as (
  delete from postcommit.prepared_key p using (
    select gone.id, gone.tenant, m.key from gone
    cross join lateral json_to_recordset(gone.content::json) as m (key text) where m.key is not null
  ) kept
  where p.tenant = kept.tenant and p.key = kept.key and p.transaction_id = kept.id
), branches as (
  delete from postcommit.branch b using gone where b.transaction_id = gone.id
), story as (
  delete from postcommit.branch_attempt a using gone where a.transaction_id = gone.id
)
select count(*)::int as seen, max(id)::text as last, (select count(*)::int from gone) as purged from seen`,
      values: [last, retentionMs, CHUNK],
    })
    const { seen, last: next, purged: count } = rows[0] ?? { seen: 0, last: null, purged: 0 }
    purged += count
    if (next === null || seen < CHUNK) return purged
    last = next
  }
}
