import type { Statement } from '../store/database.ts'

/**
 * Forgets a batch of a consumer's oldest receipts. The BRIN index on created_at skips the blocks that are younger
 * (rows are only ever appended, so blocks are in the order of time); deleting by ctid keeps one batch one short
 * transaction, which a plain DELETE over months of receipts would not be.
 */
export function deleteReceipts(consumer: string, olderThanMs: number, batch: number): Statement {
  return {
    text: `with gone as (
  delete from postcommit.barrier where ctid = any (array(
    select ctid from postcommit.barrier
    where created_at < clock_timestamp() - $2::double precision * interval '1 millisecond'
      and op = 'inbox' and barrier_id = $1
    limit $3
  )) returning 1
)
select count(*)::integer as purged from gone`,
    values: [consumer, olderThanMs, batch],
  }
}
