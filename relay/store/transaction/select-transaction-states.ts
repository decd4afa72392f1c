import type { Mode, Status } from '../../engine/transaction/transaction.ts'
import type { Queryable } from '../queryable.ts'
import { UNSETTLED } from './hand-over.ts'
import type { RunBy, TransactionKey } from './transaction-row.ts'

/** What a caller can be told about a transaction without looking at its branches. */
export interface TransactionState {
  readonly id: string
  readonly mode: Mode
  readonly status: Status
  readonly runBy: RunBy
  readonly digest: string
  readonly result: string | null
  readonly rollbackReason: string | null
  readonly pausedReason: string | null
}

/**
 * Reads where many transactions stand, in the order of their keys; undefined: there is none of that name. For requests
 * that changed nothing: a statement that waited for another one's lock still sees the rows as they were before, so only
 * the next statement can say what won.
 *
 * A message that was handed over to the outbox is `submitted` until all of it is settled there.
 *
 * Plan: Nested Loop over Index Scan on global_transaction_gid; for what was handed over {@link UNSETTLED}.
 */
export async function selectTransactionStates(
  client: Queryable,
  keys: readonly TransactionKey[],
): Promise<readonly (TransactionState | undefined)[]> {
  const { rows } = await client.query<TransactionState & { readonly n: number }>({
    name: 'postcommit_select_transaction_states',
    text: `select r.n::int, t.id, t.mode, case when ${UNSETTLED} then 'submitted' else t.status end as status, t.run_by as "runBy", t.digest, t.result, t.rollback_reason as "rollbackReason",
  t.paused_reason as "pausedReason"
from unnest($1::text[], $2::text[]) with ordinality as r (tenant, gid, n)
join postcommit.global_transaction t on t.tenant = r.tenant and t.gid = r.gid`,
    values: [keys.map(({ tenant }) => tenant), keys.map(({ gid }) => gid)],
  })
  const states: (TransactionState | undefined)[] = keys.map(() => undefined)
  for (const { n, ...state } of rows) states[n - 1] = state
  return states
}
