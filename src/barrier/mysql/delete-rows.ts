import type { Statement } from '../../store/database.ts'

/** Forgets a batch of the oldest rows of branches; index on created_at. */
export function deleteRows(olderThanMs: number, batch: number): Statement {
  return {
    text: `delete from postcommit_barrier where created_at < now(6) - interval ? microsecond and branch <> ''
order by created_at limit ?`,
    values: [Math.round(olderThanMs * 1000), batch],
  }
}
