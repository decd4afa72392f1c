import type { Statement } from './database.ts'

/**
 * Forgets a batch of the oldest rows of branches, or of prepared messages and chosen gids; not what an inbox
 * remembers. The BRIN index on created_at skips the blocks that are younger; deleting by ctid keeps one batch one short
 * transaction.
 */
export function deleteBarrierRows(rows: 'branch' | 'prepared', olderThanMs: number, batch: number): Statement {
  return {
    text: `with gone as (
  delete from postcommit.barrier where ctid = any (array(
    select ctid from postcommit.barrier
    where created_at < clock_timestamp() - $1::double precision * interval '1 millisecond'
      and op <> 'inbox' and (branch = '') = $2
    limit $3
  )) returning 1
)
select count(*)::integer as purged from gone`,
    values: [olderThanMs, rows === 'prepared', batch],
  }
}
