import type { Statement } from '../store/database.ts'
import type { InboxLimits } from './inbox-limits.ts'
import type { Receipt } from './receipt.ts'

/**
 * Notes that a consumer takes effect of a message; its op is null if it did before. Primary key (gid, branch, op,
 * barrier_id): a second delivery of the message waits here until the transaction of the first has ended, and so can
 * neither run beside it nor be answered "duplicate" before the first is committed. A SELECT first would see nothing
 * of a transaction under way and let both run.
 *
 * By the function that adds the barrier's rows, and for its reasons: the wait has a limit, which is put back for the
 * statements of the handler, its INSERT is planned once a session, and `synchronous_commit` is raised if it is off, because
 * the acknowledgement that follows the commit makes the sender forget.
 *
 * The second column bounds, for this transaction alone, how long it may be idle between two statements. A session that
 * is cut off in between keeps the receipt otherwise until TCP gives up, and one more connection waits with every retry.
 */
export function insertReceipt(receipt: Receipt, { waitMs, idleMs }: Required<InboxLimits>): Statement<string> {
  const { gid, branch, consumer, digest } = receipt
  const before = `current_setting('idle_in_transaction_session_timeout')`
  return {
    text: `select postcommit.add_barrier_row($1, $2, 'inbox', $3, 'inbox', $4, $5) as op,
  case when $6::text <> '0 ms' and not ${before}::interval between interval '1 microsecond' and $6::text::interval
    then set_config('idle_in_transaction_session_timeout', $6::text, true) end`,
    values: [gid, String(branch), consumer, digest, `${waitMs}ms`, `${idleMs} ms`],
  }
}
