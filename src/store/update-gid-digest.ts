import type { Gid } from '../protocol/gid.ts'
import type { Statement } from './database.ts'

/** Records what a gid stands for, in the transaction that claimed it; primary key. */
export function updateGidDigest(gid: Gid, digest: string): Statement {
  return {
    text: `update postcommit.barrier set digest = $2 where gid = $1 and branch = '' and op = 'commit' and barrier_id = ''`,
    values: [gid, digest],
  }
}
