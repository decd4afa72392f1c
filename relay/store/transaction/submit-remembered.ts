import type { Queryable } from '../queryable.ts'
import { type ColumnValue, column } from './column.ts'
import { byKey } from './insert-transactions.ts'
import type { TransactionClaim, TransactionKey } from './transaction-row.ts'

/** The submission of a message whose content this relay has in memory, because it wrote it. */
export interface RememberedSubmission extends TransactionKey {
  readonly id: string
  readonly claim: TransactionClaim
}

/** What may have changed since it was written. Times are Unix milliseconds of the database's clock. */
export interface SubmittedMessage {
  readonly asked: number
  readonly createdAtMs: number
  readonly nowMs: number
}

/**
 * Submits prepared messages as `submitPrepared` does, and claims them, without reading their content back: two thirds of
 * that statement's time is spent on what the relay that prepared them knows. Found by id, which is never given twice, so
 * what is remembered is what is stored.
 *
 * Resolves to those that it moved. Whatever is in the way (decided or paused meanwhile, claimed by a relay that is buried)
 * is for `submitPrepared` to look at: it writes nothing about it.
 *
 * Sorted like every statement over many transactions, so that two relays do not wait for each other.
 *
 * Plan, 100,000 rows, 100 submissions: Nested Loop, Function Scan, Index Scan on global_transaction_pkey, 100 updates
 * (not HOT: the row leaves one partial index for another): 2 ms, 1,300 buffers.
 */
export async function submitRemembered<Submission extends RememberedSubmission>(
  client: Queryable,
  submissions: readonly Submission[],
): Promise<ReadonlyMap<Submission, SubmittedMessage>> {
  const sorted = submissions.toSorted(byKey)
  const of = (value: (submission: Submission) => ColumnValue) => column(sorted, value)
  const { rows } = await client.query<SubmittedMessage & { readonly n: number }>({
    name: 'postcommit_submit_remembered',
    text: `update postcommit.global_transaction t set status = 'submitted',
  due_at = clock_timestamp() + r.lease_ms * interval '1 millisecond',
  lease_token = r.lease_token, lease_owner = r.lease_owner,
  backoff_ms = null, last_error = null, updated_at = clock_timestamp()
from unnest($1::bigint[], $2::uuid[], $3::bigint[], $4::float8[]) with ordinality
  as r (id, lease_token, lease_owner, lease_ms, n)
where t.id = r.id and t.mode = 'msg' and t.status = 'prepared' and t.paused_reason is null
  and (r.lease_owner in (select id from postcommit.relay)) is true
returning r.n::int, t.asked, extract(epoch from t.created_at)::float8 * 1000 as "createdAtMs",
  extract(epoch from clock_timestamp())::float8 * 1000 as "nowMs"`,
    values: [
      of(({ id }) => id),
      of(({ claim }) => claim.token),
      of(({ claim }) => claim.relay),
      of(({ claim }) => claim.leaseMs),
    ],
  })
  const moved = new Map<Submission, SubmittedMessage>()
  for (const row of rows) {
    const submission = sorted[row.n - 1]
    if (submission !== undefined) moved.set(submission, row)
  }
  return moved
}
