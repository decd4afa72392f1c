import type { Statement } from '../store/database.ts'

/** That a consumer takes effect of a message, and what the message stands for. */
export interface Receipt {
  readonly gid: string
  readonly branch: number
  readonly consumer: string
  readonly digest: string
}

/**
 * Notes that a consumer takes effect of a message; no row comes back if it did before. Primary key (gid, branch, op,
 * barrier_id): a second delivery of the message waits here until the transaction of the first has ended, and so can
 * neither run beside it nor be answered "duplicate" before the first is committed. A SELECT first would see nothing
 * of a transaction under way and let both run.
 *
 * The acknowledgement that follows the commit makes the sender forget, so the commit must not be forgotten either:
 * `synchronous_commit` is read at COMMIT, and only `off` is replaced. RETURNING does that for the row that is written
 * and for no other; a duplicate has nothing to lose.
 *
 * Plan: Insert on barrier, Conflict Resolution: NOTHING -> Result; 12 buffers, 0.01 ms to plan, 0.05 ms to run, behind
 * 200,000 receipts. Round trip with the values in the text 161 µs, as parameters 191 µs, as a named statement 113 µs,
 * which a pooler between transactions may not know. With the setting in a CTE before the insert: 0.03 and 0.04 ms, and
 * 192, 221 and 131 µs.
 */
export function insertReceipt({ gid, branch, consumer, digest }: Receipt): Statement<string> {
  return {
    text: `insert into postcommit.barrier (gid, branch, op, barrier_id, reason, digest)
values ($1, $2, 'inbox', $3, 'inbox', $4)
on conflict do nothing
returning case when current_setting('synchronous_commit') = 'off' then set_config('synchronous_commit', 'on', true) end`,
    values: [gid, String(branch), consumer, digest],
  }
}
