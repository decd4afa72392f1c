import type { Statement } from './database.ts'

/** The rows to add, for one place in one branch. */
export interface BarrierInsert {
  readonly gid: string
  readonly branch: string
  readonly id: string
  readonly ops: readonly string[]
  readonly reason: string
  readonly digest: string | undefined
  /** How long to wait for a transaction that has added one of them and has not ended. */
  readonly waitMs: number
}

/**
 * Adds barrier rows and returns the ops of those that were new. Primary key (gid, branch, op, barrier_id); an insert of
 * a row that another open transaction has added waits for it.
 *
 * - The wait is bounded here and not in the session, and what the session says is put back in the same statement: it
 *   holds for the user's statements. The two aggregates in FROM see to it that the insert is over by then.
 * - The rows are added in the order of `ops`: what is undone first. Two transactions that add the same rows take them
 *   in the same order, and do not deadlock.
 * - An effect that is answered for must not be forgotten in a crash: `synchronous_commit` is read at COMMIT, and only
 *   `off` is replaced.
 */
export function insertBarrierRows(insert: BarrierInsert): Statement {
  const { gid, branch, id, ops, reason, digest, waitMs } = insert
  return {
    text: `with gate as materialized (
  select current_setting('lock_timeout') as before, set_config('lock_timeout', $7, true) as bounded,
    case when current_setting('synchronous_commit') = 'off' then set_config('synchronous_commit', 'on', true) end as sync
), added as (
  insert into postcommit.barrier (gid, branch, op, barrier_id, reason, digest)
  select $1, $2, o.op, $3, $4, $5 from gate cross join unnest($6::text[]) with ordinality as o (op, position)
  order by o.position
  on conflict do nothing returning op
)
select new.ops, set_config('lock_timeout', gate.before, true)
from gate cross join (select coalesce(array_agg(op), '{}') as ops from added) new`,
    values: [gid, branch, id, reason, digest ?? null, ops, `${waitMs}ms`],
  }
}
