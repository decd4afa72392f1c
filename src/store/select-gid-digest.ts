import type { Gid } from '../protocol/gid.ts'
import type { Statement } from './database.ts'

/** What a gid stood for when it was committed; primary key. */
export function selectGidDigest(gid: Gid): Statement {
  return {
    text: `select digest from postcommit.barrier where gid = $1 and branch = '' and op = 'commit' and barrier_id = ''`,
    values: [gid],
  }
}
