import type { Statement } from '../store/database.ts'

/**
 * Notes that a consumer takes effect of a message; no row comes back if it did before. Primary key (gid, branch, op,
 * barrier_id): a second delivery of the message waits here until the transaction of the first has ended, and so can
 * neither run beside it nor be answered "duplicate" before the first is committed. A SELECT first would see nothing
 * of a transaction under way and let both run.
 *
 * The acknowledgement that follows the commit makes the sender forget, so the commit must not be forgotten either:
 * `synchronous_commit` is read at COMMIT, and only `off` is replaced.
 */
export function insertReceipt(gid: string, branch: number, consumer: string, digest: string): Statement {
  return {
    text: `with durable as materialized (
  select case when current_setting('synchronous_commit') = 'off' then set_config('synchronous_commit', 'on', true) end as sync
)
insert into postcommit.barrier (gid, branch, op, barrier_id, reason, digest)
select $1, $2, 'inbox', $3, 'inbox', $4 from durable
on conflict do nothing returning true as first`,
    values: [gid, String(branch), consumer, digest],
  }
}
