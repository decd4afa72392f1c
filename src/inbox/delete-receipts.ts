import type { Statement } from '../store/database.ts'

/**
 * Forgets a batch of a consumer's oldest receipts. Index barrier_receipts, stopped by LIMIT; deleting by ctid keeps one
 * batch one short transaction, which a plain DELETE over months of receipts would not be. statement_timestamp(), because
 * clock_timestamp() can change during the scan and so cannot be a condition of an index.
 */
export function deleteReceipts(consumer: string, olderThanMs: number, batch: number): Statement {
  return {
    text: `with gone as (
  delete from postcommit.barrier where ctid = any (array(
    select ctid from postcommit.barrier
    where op = 'inbox' and barrier_id = $1
      and created_at < statement_timestamp() - $2::double precision * interval '1 millisecond'
    order by created_at limit $3
  )) returning 1
)
select count(*)::integer as purged from gone`,
    values: [consumer, olderThanMs, batch],
  }
}
