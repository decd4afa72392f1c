import type { Gid } from '../protocol/gid.ts'
import type { Statement } from './database.ts'

/**
 * Claims a gid that the caller chose. The log is partitioned by id and cannot be unique by gid, so a barrier row is:
 * primary key (gid, branch, op, barrier_id). A second transaction with the same gid waits here until the first has
 * ended, and gets no row if it committed.
 */
export function insertGid(gid: Gid, digest: string | null): Statement {
  return {
    text: `insert into postcommit.barrier (gid, branch, op, reason, digest) values ($1, '', 'commit', 'commit', $2)
on conflict do nothing returning true as first`,
    values: [gid, digest],
  }
}
