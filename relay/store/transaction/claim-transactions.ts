import type { Queryable } from '../queryable.ts'
import { CLAIMED_COLUMNS, gatherOperations, type JoinedRow, OPERATION_COLUMNS } from './operation-columns.ts'
import { selectOperations } from './select-operations.ts'
import type { ClaimedTransaction, TransactionClaim } from './transaction-row.ts'

/**
 * Claims the transactions that have been due longest among those that run, submitted or aborting, with their ops.
 *
 * As in `claimDue`: SKIP LOCKED lets any number of relays claim side by side, a claim is a token and a due time, a
 * buried relay claims nothing, and the comparison is with statement_timestamp(), which the index can use.
 *
 * The claim is not waited for by its commit's fsync: one that a crash forgets is simply due again.
 *
 * Plan, 100,000 rows of which 20,000 unfinished, 100 claimed: Index Scan on global_transaction_due, stopped by LIMIT;
 * 100 updates by primary key, Index Scan on branch_pkey: 3 ms, 2,200 buffers. Nothing due: 0.1 ms.
 */
export async function claimTransactions(
  client: Queryable,
  { relay, token, leaseMs }: TransactionClaim,
  limit: number,
): Promise<readonly ClaimedTransaction[]> {
  const { rows } = await client.query<JoinedRow | { readonly id: null }>({
    name: 'postcommit_claim_transactions',
    text: claimText(`select picked.id
  from (select from postcommit.relay where id = $1::bigint) alive
  cross join lateral (
    select id from postcommit.global_transaction
    where status in ('submitted', 'aborting') and due_at <= statement_timestamp()
    order by due_at, id limit $4::int
    for update skip locked
  ) picked`),
    values: [relay, token, leaseMs, limit],
  })
  return completed(client, gatherOperations(rows.filter(isClaimed)))
}

/** A statement that claims what `due` selects; $1 to $3 are the relay, its token and its lease. */
export function claimText(due: string): string {
  return `with due as materialized (
  ${due}
), claimed as (
  update postcommit.global_transaction t set lease_token = $2::uuid, lease_owner = $1::bigint,
    due_at = clock_timestamp() + $3::float8 * interval '1 millisecond'
  from due where t.id = due.id
  returning t.*
)
select ${CLAIMED_COLUMNS}, ${OPERATION_COLUMNS}
from (select set_config('synchronous_commit', 'off', true) offset 0) asynchronous
left join claimed t on true left join postcommit.branch b on b.transaction_id = t.id
order by t.id, b.place`
}

/** Whether a row of a claim holds anything: without a claim there is one row of nulls, for the setting. */
export function isClaimed(row: JoinedRow | { readonly id: null }): row is JoinedRow {
  return row.id !== null
}

/** Reads the ops again where a branch was registered between the snapshot and the lock of the claim. */
export async function completed(
  client: Queryable,
  claimed: readonly ClaimedTransaction[],
): Promise<readonly ClaimedTransaction[]> {
  const stale = claimed.filter(({ operations, opCount }) => operations.length < opCount)
  if (stale.length === 0) return claimed
  const current = await selectOperations(
    client,
    stale.map(({ id }) => id),
  )
  return claimed.map((transaction) =>
    stale.includes(transaction)
      ? { ...transaction, operations: current.get(transaction.id) ?? transaction.operations }
      : transaction,
  )
}
