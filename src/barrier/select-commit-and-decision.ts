import type { Gid } from '../protocol/gid.ts'
import type { Statement } from '../store/database.ts'

/**
 * What the commit log says of a transaction and what stands in the row of its prepared message: one round trip, where a
 * service that comes back is asked about thousands. Primary key; waits for nobody.
 *
 * The commit log knows no snapshot, the row does: of a transaction that commits in between, `committed` comes with no row.
 */
export function selectCommitAndDecision(gid: Gid, xid: string): Statement {
  return {
    text: `select pg_xact_status($1::xid8) as status, (select reason from postcommit.barrier
where gid = $2 and branch = '' and op = 'commit' and barrier_id = '') as reason`,
    values: [xid, gid],
  }
}
