import { randomUUID } from 'node:crypto'
import type { Queryable } from '../../relay/store/queryable.ts'
import { insertTransactions, type NewTransaction } from '../../relay/store/transaction/insert-transactions.ts'
import type { Progress } from '../../relay/store/transaction/record-progress.ts'
import type { ClaimedTransaction, TransactionClaim } from '../../relay/store/transaction/transaction-row.ts'

/** A message with one branch, prepared and due later, unless the test says otherwise. */
export function transaction(given: Partial<NewTransaction> = {}): NewTransaction {
  return {
    tenant: '',
    gid: randomUUID(),
    mode: 'msg',
    status: 'prepared',
    runBy: 'relay',
    dialect: 'v1',
    protocol: 'http',
    digest: 'content',
    checkDestination: 'orders',
    seq: 0,
    dueInMs: 60_000,
    operations: [{ branch: '01', op: 'action', target: 'stock/deduct', payload: '{"n":1}' }],
    ...given,
  }
}

/** Writes one transaction. */
export async function insertTransaction(
  client: Queryable,
  given: Partial<NewTransaction> = {},
): Promise<NewTransaction> {
  const one = transaction(given)
  const [inserted] = await insertTransactions(client, [one])
  if (inserted === undefined) throw new Error(`${one.gid} was there already`)
  return one
}

/** A claim with a token of its own. */
export function claimOf(relay: string, leaseMs = 60_000): TransactionClaim {
  return { relay, token: randomUUID(), leaseMs }
}

/** That nothing was found out, for a test to say what was. */
export function progressOf(claimed: ClaimedTransaction, token: string, given: Partial<Progress> = {}): Progress {
  const { id, status, seq, opCount, asked } = claimed
  return { id, token, from: status, to: status, opCount, seq, asked, operations: [], ...given }
}

/** A row of `postcommit.global_transaction`, with what tests look at. */
export interface StoredTransaction {
  readonly status: string
  readonly due_ms: number
  readonly seq: number
  readonly op_count: number
  readonly lease_token: string | null
  readonly finished: boolean
  readonly rollback_reason: string | null
  readonly ops: readonly string[]
}

/** How a transaction is stored. */
export async function storedTransaction(client: Queryable, gid: string, tenant = ''): Promise<StoredTransaction> {
  const { rows } = await client.query<StoredTransaction>({
    text: `select status, (extract(epoch from due_at - clock_timestamp()) * 1000)::float8 as due_ms, seq, op_count,
  lease_token, finished_at is not null as finished, rollback_reason,
  array(select branch || ' ' || op || ' ' || status from postcommit.branch where transaction_id = t.id order by place) as ops
from postcommit.global_transaction t where tenant = $1 and gid = $2`,
    values: [tenant, gid],
  })
  const [row] = rows
  if (row === undefined) throw new Error(`there is no ${gid}`)
  return row
}
