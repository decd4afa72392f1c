import type { Statement } from '../../store/database.ts'

/**
 * Who wrote a barrier row; primary key. A locking read: the snapshot of a transaction that reads repeatably does not
 * show a row that was committed after it, although the insert has just found it there.
 */
export function selectRow(gid: string, branch: string, op: string, id: string): Statement {
  return {
    text: 'select reason, digest from postcommit_barrier where gid = ? and branch = ? and op = ? and barrier_id = ? lock in share mode',
    values: [gid, branch, op, id],
  }
}

/**
 * Whether a row of a transaction that is over is there; primary key. It waits for nobody: after the row was rolled back
 * another call of the branch may be at the same place.
 */
export function selectOwnRow(gid: string, branch: string, op: string, id: string): Statement {
  return {
    text: 'select 1 from postcommit_barrier where gid = ? and branch = ? and op = ? and barrier_id = ?',
    values: [gid, branch, op, id],
  }
}
