import type { Gid } from '../protocol/gid.ts'
import type { Statement } from './database.ts'

/**
 * Whether anything is there that a transaction has written: a row of the log, a delivery, the claim of its gid: by
 * itself, not by a back-query that has closed the door on it. Also says whether the server is a standby, which may just not have got so far.
 *
 * Indexes: outbox_xid in each partition, delivery_gid, the primary key of the barrier. A service needs to read the
 * columns that are named here, and no others.
 */
export function selectCommitTrace(gid: Gid, xid: string): Statement {
  return {
    text: `select exists (select from postcommit.outbox where xid = $2::xid8 and gid = $1)
  or exists (select from postcommit.delivery where gid = $1)
  or exists (select from postcommit.barrier where gid = $1 and op = 'commit' and reason = 'commit') as found,
  pg_is_in_recovery() as standby`,
    values: [gid, xid],
  }
}
