import type { Statement } from './database.ts'

/**
 * Forgets a batch of the oldest rows of branches; not what an inbox remembers, and not what proves a commit. Index
 * barrier_branches, stopped by LIMIT; deleting by ctid keeps one batch one short transaction.
 */
export function deleteBarrierRows(olderThanMs: number, batch: number): Statement {
  return {
    text: `with gone as (
  delete from postcommit.barrier where ctid = any (array(
    select ctid from postcommit.barrier
    where op <> 'inbox' and branch <> ''
      and created_at < statement_timestamp() - $1::double precision * interval '1 millisecond'
    order by created_at limit $2
  )) returning 1
)
select count(*)::integer as purged from gone`,
    values: [olderThanMs, batch],
  }
}
