import type { Statement } from './database.ts'

/** Who wrote a barrier row, and what it stands for; primary key. */
export function selectBarrierRow(gid: string, branch: string, op: string, id: string): Statement {
  return {
    text: 'select reason, digest from postcommit.barrier where gid = $1 and branch = $2 and op = $3 and barrier_id = $4',
    values: [gid, branch, op, id],
  }
}
