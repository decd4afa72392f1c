import type { ClaimedTransaction, OperationRow } from './transaction-row.ts'

/** The columns of a claimed transaction, for a statement in which `t` is its row. */
export const CLAIMED_COLUMNS = `t.id::text as id, t.tenant, t.gid, t.mode, t.status, t.run_by as "runBy", t.digest,
  t.dialect, t.protocol, t.key,
  case when t.key is not null then (
    select head.gid from postcommit.global_transaction head
    where head.tenant = t.tenant and head.key = t.key and head.finished_at is null and head.id < t.id
    order by head.id limit 1
  ) end as behind,
  t.check_destination as "checkDestination", t.check_target as "checkTarget", t.options, t.custom_data as "customData",
  t.ext_data as "extData", t.rollback_reason as "rollbackReason", t.seq, t.op_count as "opCount", t.asked,
  t.lease_token is not null as claimed,
  t.backoff_ms as "backoffMs", extract(epoch from t.created_at)::float8 * 1000 as "createdAtMs",
  extract(epoch from t.deadline)::float8 * 1000 as "deadlineMs",
  extract(epoch from clock_timestamp())::float8 * 1000 as "nowMs"`

/** The columns of an op, for a statement in which `b` is its row. */
export const OPERATION_COLUMNS = `b.branch, b.op, b.place, b.status as "opStatus", b.target, b.payload, b.body,
  b.options as "opOptions", b.after, b.recovery, b.start_seq as "startSeq", b.end_seq as "endSeq", b.calls,
  b.attempts, extract(epoch from b.lease_until)::float8 * 1000 as "leaseUntilMs",
  extract(epoch from b.due_at)::float8 * 1000 as "dueAtMs"`

type TransactionColumns = Omit<ClaimedTransaction, 'operations'>
type OperationColumns = Omit<OperationRow, 'status' | 'options'> & {
  readonly opStatus: OperationRow['status']
  readonly opOptions: string | null
}

/** A row that joins a transaction with one of its ops, or with none if it has none. */
export type JoinedRow = TransactionColumns & (OperationColumns | { readonly op: null })

/** Gathers joined rows, those of one transaction next to each other, into transactions. */
export function gatherOperations(rows: readonly JoinedRow[]): ClaimedTransaction[] {
  const claimed: (TransactionColumns & { operations: OperationRow[] })[] = []
  for (const row of rows) {
    let last = claimed.at(-1)
    if (last?.id !== row.id) {
      last = { ...transactionOf(row), operations: [] }
      claimed.push(last)
    }
    if (row.op !== null) last.operations.push(operationOf(row))
  }
  return claimed
}

function transactionOf(row: JoinedRow): TransactionColumns {
  const { id, tenant, gid, mode, status, runBy, digest, dialect, protocol, key, behind, checkDestination } = row
  const { checkTarget, options, customData, extData, rollbackReason, seq, opCount, asked, claimed } = row
  const { backoffMs, createdAtMs, deadlineMs, nowMs } = row
  const handedIn = { id, tenant, gid, mode, runBy, digest, dialect, protocol, key, checkDestination, checkTarget }
  const times = { backoffMs, createdAtMs, deadlineMs, nowMs }
  const state = { status, behind, options, customData, extData, rollbackReason, seq, opCount, asked, claimed }
  return { ...handedIn, ...state, ...times }
}

/** An op without the columns of its transaction. */
export function operationOf(row: OperationColumns): OperationRow {
  const { branch, op, place, opStatus, target, payload, body, opOptions, after } = row
  const { recovery, startSeq, endSeq, calls, attempts, leaseUntilMs, dueAtMs } = row
  const content = { branch, op, place, target, payload, body, options: opOptions, after, recovery }
  return { ...content, status: opStatus, startSeq, endSeq, calls, attempts, leaseUntilMs, dueAtMs }
}

/** Writes names as PostgreSQL writes an array: arrays of arrays of different lengths cannot be parameters. */
export function arrayLiteral(names: readonly string[] | undefined): string | null {
  if (names === undefined) return null
  return `{${names.map((name) => `"${name.replace(/["\\]/g, '\\$&')}"`).join(',')}}`
}
