import type { Queryable } from '../queryable.ts'
import type { BranchStory } from './branch-story.ts'
import { UNSETTLED } from './hand-over.ts'
import { IN_DOUBT, LAST_ERROR, type ListedTransaction } from './list-transactions.ts'
import { selectOutboxBranches } from './select-outbox-branches.ts'
import type { TransactionKey } from './transaction-row.ts'

/** Everything about a transaction that its row holds. */
export interface TransactionStory extends ListedTransaction {
  readonly protocol: string
  readonly dialect: string
  readonly digest: string
  readonly key: string | null
  readonly checkDestination: string
  readonly checkTarget: string | null
  readonly options: string | null
  readonly customData: string | null
  readonly extData: string | null
  readonly result: string | null
  readonly backoffMs: number | null
  readonly deadline: Date | null
  /** The counter of starts and ends: what a decision about its branches is compared by. */
  readonly seq: number
  readonly branches: readonly BranchStory[]
}

/**
 * Reads a transaction with its branches; undefined if this tenant has none of that name. Two statements: a row that
 * joins both would repeat everything for every branch. What happens in between shows in the branches only.
 *
 * Plans: Index Scan on global_transaction_gid, on check_outage_pkey if it is in doubt, on branch_pkey.
 */
export async function selectTransaction(
  client: Queryable,
  { tenant, gid }: TransactionKey,
): Promise<TransactionStory | undefined> {
  const { rows } = await client.query<Omit<TransactionStory, 'branches'> & { readonly opCount: number }>({
    text: `select id, tenant, gid, mode, status, run_by as "runBy", protocol, dialect, digest, key,
  check_destination as "checkDestination", check_target as "checkTarget", options, custom_data as "customData",
  ext_data as "extData", result, rollback_reason as "rollbackReason", ${LAST_ERROR} as "lastError",
  ${IN_DOUBT} as "inDoubt", o.since as "unreachableSince",
  op_count as "opCount", ${UNSETTLED} as "isUnsettled", backoff_ms as "backoffMs", deadline, seq, asked, lease_owner as "leaseOwner", paused_reason as "pausedReason",
  nullif(due_at, 'infinity') as "dueAt", created_at as "createdAt", updated_at as "updatedAt",
  finished_at as "finishedAt"
from postcommit.global_transaction t
left join postcommit.check_outage o on o.destination = t.check_destination and ${IN_DOUBT}
where tenant = $1 and gid = $2`,
    values: [tenant, gid],
  })
  const [transaction] = rows
  if (transaction === undefined) return undefined
  const { opCount, ...story } = transaction
  if (opCount === 0 && story.mode === 'msg') return { ...story, branches: await selectOutboxBranches(client, story.id) }
  const { rows: branches } = await client.query<BranchStory>({
    text: `select branch, op, status, target, payload, body, after, recovery, start_seq as "startSeq", end_seq as "endSeq", calls,
  attempts, last_status as "lastStatus", last_error as "lastError", duration_ms as "durationMs", result,
  created_at as "createdAt", updated_at as "updatedAt", finished_at as "finishedAt"
from postcommit.branch where transaction_id = $1 order by place, branch, op`,
    values: [story.id],
  })
  return { ...story, branches }
}
