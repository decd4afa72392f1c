import type { Queryable } from '../queryable.ts'
import { claimText, completed, isClaimed } from './claim-transactions.ts'
import { gatherOperations, type JoinedRow } from './operation-columns.ts'
import type { ClaimedTransaction, TransactionClaim } from './transaction-row.ts'

/** How many questions may be put to a destination now; the empty name stands for deadlines, which ask nobody. */
export interface CheckSlots {
  readonly destination: string
  readonly free: number
}

/**
 * Claims the prepared transactions that have been due longest, for each destination as many as can be asked at once. A
 * service that is away has no free slots, so however many wait for it, nobody looks at them.
 *
 * A claim on a prepared transaction does not stand in its client's way: submit, abort and new branches go through, and
 * end it.
 *
 * Plan, 100,000 rows of which 10,000 prepared, 4 destinations: Nested Loop, Index Scan on global_transaction_check with
 * both conditions, stopped by LIMIT: 3 ms for 100 claims, 0.1 ms and 4 buffers for none.
 */
export async function claimChecks(
  client: Queryable,
  { relay, token, leaseMs }: TransactionClaim,
  slots: readonly CheckSlots[],
): Promise<readonly ClaimedTransaction[]> {
  const { rows } = await client.query<JoinedRow | { readonly id: null }>({
    name: 'postcommit_claim_checks',
    text: claimText(`select picked.id
  from (select from postcommit.relay where id = $1::bigint) alive
  cross join unnest($4::text[], $5::int[]) as slot (destination, free)
  cross join lateral (
    select id from postcommit.global_transaction
    where status = 'prepared' and check_destination = slot.destination and due_at <= statement_timestamp()
    order by due_at, id limit slot.free
    for update skip locked
  ) picked`),
    values: [relay, token, leaseMs, slots.map(({ destination }) => destination), slots.map(({ free }) => free)],
  })
  return completed(client, gatherOperations(rows.filter(isClaimed)))
}
