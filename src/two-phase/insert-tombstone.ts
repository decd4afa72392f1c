import type { Gid } from '../protocol/gid.ts'
import type { Statement } from '../store/database.ts'

/**
 * Closes the door on a prepared message: after this its transaction cannot commit any more, because its first
 * statement finds the row. No row comes back if it is committed, or was given up, already. Primary key.
 *
 * It must insert. A SELECT sees nothing of a transaction under way and would call it given up; the insert waits for
 * it. `lock_timeout` bounds that wait (55P03), or each question about a long transaction would keep a connection of
 * the service; it is read when the wait begins, so the same statement can set it, and it ends with the statement.
 *
 * The answer makes the relay drop the message, so the row must not be forgotten: `synchronous_commit = off` is
 * replaced, as in the transaction itself.
 */
export function insertTombstone(gid: Gid, waitMs: number): Statement {
  return {
    text: `with bounded as materialized (
  select set_config('lock_timeout', $2, true) as wait,
    case when current_setting('synchronous_commit') = 'off' then set_config('synchronous_commit', 'on', true) end as sync
)
insert into postcommit.barrier (gid, branch, op, reason) select $1, '', 'commit', 'rollback' from bounded
on conflict do nothing returning true as closed`,
    values: [gid, `${waitMs}ms`],
  }
}
