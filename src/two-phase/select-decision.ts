import type { Gid } from '../protocol/gid.ts'
import type { Statement } from '../store/database.ts'

/**
 * What was decided about a gid: `commit`, `rollback`, or no row; primary key. After an insert that found the row it
 * is a statement of its own, because that one's snapshot may be older than the row.
 */
export function selectDecision(gid: Gid): Statement {
  return {
    text: `select reason from postcommit.barrier where gid = $1 and branch = '' and op = 'commit' and barrier_id = ''`,
    values: [gid],
  }
}
