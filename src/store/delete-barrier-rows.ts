import type { Statement } from './database.ts'

/**
 * Forgets a batch of the oldest rows of branches; not what an inbox remembers, and not what proves a commit. The BRIN
 * index on created_at skips the blocks that are younger; deleting by ctid keeps one batch one short transaction.
 */
export function deleteBarrierRows(olderThanMs: number, batch: number): Statement {
  return {
    text: `with gone as (
  delete from postcommit.barrier where ctid = any (array(
    select ctid from postcommit.barrier
    where created_at < clock_timestamp() - $1::double precision * interval '1 millisecond'
      and op <> 'inbox' and branch <> ''
    limit $2
  )) returning 1
)
select count(*)::integer as purged from gone`,
    values: [olderThanMs, batch],
  }
}
