import type { Statement } from './database.ts'

/** The one row to add. */
export interface BarrierRowInsert {
  readonly gid: string
  readonly branch: string
  readonly id: string
  readonly op: string
  readonly reason: string
  readonly digest: string | undefined
  /** How long to wait for a transaction that has added it and has not ended. */
  readonly waitMs: number
}

/**
 * Adds a barrier row and returns its op, null if it was there.
 *
 * As `insertBarrierRows` for several, for the ops that undo nothing, which most are, and in a third less of the server's
 * time: there is nothing to unfold, to sort and to gather. What the session says about waiting is kept in a setting of
 * its own, because the insert cannot give back what it selects from; the aggregate sees to it that the insert is over
 * before that is put back.
 *
 * Plan: Subquery Scan -> Aggregate -> CTE Scan; CTE: Insert on barrier, Conflict Resolution: NOTHING -> Result.
 */
export function insertBarrierRow(insert: BarrierRowInsert): Statement {
  const { gid, branch, op, id, reason, digest = null, waitMs } = insert
  return {
    text: `with added as (
  insert into postcommit.barrier (gid, branch, op, barrier_id, reason, digest)
  select $1, $2, $3, $4, $5, $6 from (
    select set_config('postcommit.lock_timeout', current_setting('lock_timeout'), true),
      set_config('lock_timeout', $7, true),
      case when current_setting('synchronous_commit') = 'off' then set_config('synchronous_commit', 'on', true) end
    offset 0
  ) bounded
  on conflict do nothing returning op
)
select new.op, set_config('lock_timeout', current_setting('postcommit.lock_timeout'), true)
from (select max(op) as op from added) new`,
    values: [gid, branch, op, id, reason, digest, `${waitMs}ms`],
  }
}
