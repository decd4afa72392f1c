import type { Queryable } from '../queryable.ts'

/** A call or a question that failed, or what a person did. */
export interface BranchAttempt {
  readonly id: string
  /** Null: the transaction itself. */
  readonly branch: string | null
  readonly op: string | null
  readonly at: Date
  readonly event: string
  readonly attempt: number
  readonly durationMs: number | null
  readonly status: number | null
  readonly detail: string | null
  /** Which relay, or which person. */
  readonly actor: string
}

/** Reads the story of a transaction, oldest first, a page after the id of the one before. Index: branch_attempt_transaction. */
export async function selectBranchAttempts(
  client: Queryable,
  transactionId: string,
  { after = '0', limit }: { readonly after?: string; readonly limit: number },
): Promise<readonly BranchAttempt[]> {
  const { rows } = await client.query<BranchAttempt>({
    text: `select id, branch, op, at, event, attempt, duration_ms as "durationMs", status, detail, actor
from postcommit.branch_attempt where transaction_id = $1 and id > $2 order by id limit $3`,
    values: [transactionId, after, limit],
  })
  return rows
}
