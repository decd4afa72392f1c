import type { Mode } from '../../engine/transaction/transaction.ts'
import type { Queryable } from '../queryable.ts'
import { type ColumnValue, column } from './column.ts'
import { byKey } from './insert-transactions.ts'
import { CLAIMED_COLUMNS, gatherOperations, type JoinedRow, OPERATION_COLUMNS } from './operation-columns.ts'
import type { ClaimedTransaction, TransactionClaim, TransactionKey } from './transaction-row.ts'

/** The submission of a transaction that was prepared. */
export interface Submission extends TransactionKey {
  readonly mode: Mode | undefined
  /** SHA-256 of what is submitted: it must be what was prepared. Undefined: whatever that was. */
  readonly digest: string | undefined
  /** What only the submission says; undefined keeps what was prepared. */
  readonly options?: string | undefined
  readonly customData?: string | undefined
  readonly deadlineInMs?: number | undefined
  /** Until it begins; if it is claimed at once, the lease decides instead. */
  readonly dueInMs: number
  /** For one that this relay begins without further ado. */
  readonly claim?: TransactionClaim | undefined
}

/**
 * Submits many prepared transactions: a compare-and-set of the status, the mode and the digest. Resolves to those that it moved,
 * with their ops if they were claimed, by their place among the submissions.
 *
 * The claim is in the same update: a statement of its own for it would write every row a second time. A claim on the
 * prepared row, of a relay that asks about it, ends here, and what that relay finds out is fenced off. One that a person
 * has paused is submitted and stays paused, and one that a buried relay would claim is due at once: `claimed` says so.
 *
 * The branches are read in the snapshot of the statement. Those of a message or a static saga came with their
 * transaction; registered ones may be newer than the snapshot, and then there are fewer of them than `opCount` says:
 * `selectOperations` reads them again.
 *
 * `marked`: who submits a saga whose actions it calls itself says that all of them are done.
 *
 * Plan, 100,000 rows, 100 submissions: Nested Loop, Function Scan, Index Scan on global_transaction_gid, 100 updates
 * (not HOT: the row leaves one partial index for another), Index Scan on branch_pkey: 4 ms, 2,100 buffers.
 */
export async function submitPrepared(
  client: Queryable,
  submissions: readonly Submission[],
): Promise<ReadonlyMap<Submission, ClaimedTransaction>> {
  const sorted = submissions.toSorted(byKey)
  const of = (value: (submission: Submission) => ColumnValue) => column(sorted, value)
  const { rows } = await client.query<JoinedRow & { readonly n: number }>({
    name: 'postcommit_submit_prepared',
    text: `with moved as (
  update postcommit.global_transaction t set status = 'submitted',
    options = coalesce(r.options, t.options), custom_data = coalesce(r.custom_data, t.custom_data),
    deadline = coalesce(clock_timestamp() + r.deadline_in_ms * interval '1 millisecond', t.deadline),
    due_at = case when t.paused_reason is not null then 'infinity'
      else clock_timestamp() + case when claim.stands then r.lease_ms else r.due_in_ms end * interval '1 millisecond' end,
    lease_token = case when t.paused_reason is null and claim.stands then r.lease_token end,
    lease_owner = case when t.paused_reason is null and claim.stands then r.lease_owner end,
    backoff_ms = null, last_error = null, updated_at = clock_timestamp()
  from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::float8[], $7::float8[], $8::uuid[],
    $9::bigint[], $10::text[], $11::float8[]) with ordinality
    as r (tenant, gid, digest, options, custom_data, deadline_in_ms, due_in_ms, lease_token, lease_owner, mode, lease_ms, n)
  cross join lateral (select (r.lease_owner in (select id from postcommit.relay)) is true) as claim (stands)
  where t.tenant = r.tenant and t.gid = r.gid and t.status = 'prepared' and t.digest = coalesce(r.digest, t.digest)
    and t.mode = coalesce(r.mode, t.mode)
  returning t.*, r.n
), marked as (
  update postcommit.branch b set status = 'succeed', updated_at = clock_timestamp(), finished_at = clock_timestamp()
  from moved where moved.run_by = 'client' and moved.mode = 'saga'
    and b.transaction_id = moved.id and b.op = 'action' and b.status = 'prepared'
)
select t.n::int, ${CLAIMED_COLUMNS}, ${OPERATION_COLUMNS}
from moved t left join postcommit.branch b on t.lease_token is not null and b.transaction_id = t.id
order by t.n, b.place`,
    values: [
      of(({ tenant }) => tenant),
      of(({ gid }) => gid),
      of(({ digest }) => digest),
      of(({ options }) => options),
      of(({ customData }) => customData),
      of(({ deadlineInMs }) => deadlineInMs),
      of(({ dueInMs }) => dueInMs),
      of(({ claim }) => claim?.token),
      of(({ claim }) => claim?.relay),
      of(({ mode }) => mode),
      of(({ claim }) => claim?.leaseMs),
    ],
  })
  const placeOf = new Map(rows.map(({ id, n }) => [id, n]))
  const moved = new Map<Submission, ClaimedTransaction>()
  for (const transaction of gatherOperations(rows)) {
    const submission = sorted[(placeOf.get(transaction.id) ?? 0) - 1]
    if (submission !== undefined) moved.set(submission, transaction)
  }
  return moved
}
