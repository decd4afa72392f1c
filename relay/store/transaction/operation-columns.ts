import { type ColumnValue, column } from './column.ts'
import type { ClaimedTransaction, OperationContent, OperationRow } from './transaction-row.ts'

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
  t.content is not null as "isForOutbox", t.backoff_ms as "backoffMs", extract(epoch from t.created_at)::float8 * 1000 as "createdAtMs",
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
      last = transactionOf(row)
      claimed.push(last)
    }
    if (row.op !== null) last.operations.push(operationOf(row))
  }
  return claimed
}

// Each in one literal: put together from several it takes ten times the time and memory, and every submission is read
// through here.
function transactionOf(row: JoinedRow): TransactionColumns & { operations: OperationRow[] } {
  return {
    id: row.id,
    tenant: row.tenant,
    gid: row.gid,
    mode: row.mode,
    status: row.status,
    runBy: row.runBy,
    digest: row.digest,
    dialect: row.dialect,
    protocol: row.protocol,
    key: row.key,
    behind: row.behind,
    checkDestination: row.checkDestination,
    checkTarget: row.checkTarget,
    options: row.options,
    customData: row.customData,
    extData: row.extData,
    rollbackReason: row.rollbackReason,
    seq: row.seq,
    opCount: row.opCount,
    asked: row.asked,
    claimed: row.claimed,
    backoffMs: row.backoffMs,
    createdAtMs: row.createdAtMs,
    deadlineMs: row.deadlineMs,
    nowMs: row.nowMs,
    isForOutbox: row.isForOutbox,
    operations: [],
  }
}

/** An op without the columns of its transaction. */
export function operationOf(row: OperationColumns): OperationRow {
  return {
    branch: row.branch,
    op: row.op,
    place: row.place,
    status: row.opStatus,
    target: row.target,
    payload: row.payload,
    body: row.body,
    options: row.opOptions,
    after: row.after,
    startSeq: row.startSeq,
    endSeq: row.endSeq,
    recovery: row.recovery,
    calls: row.calls,
    attempts: row.attempts,
    leaseUntilMs: row.leaseUntilMs,
    dueAtMs: row.dueAtMs,
  }
}

/** An op to be written, and its place among those of its transaction. */
interface PlacedOperation {
  readonly operation: OperationContent
  readonly place: number
}

/** What ops are made of, for `unnest`: branch, op, place, target, payload, body, options, after, recovery. */
export function contentValues(placed: readonly PlacedOperation[]): readonly (string | null)[] {
  const of = (value: (operation: OperationContent) => ColumnValue) => column(placed, (one) => value(one.operation))
  return [
    of(({ branch }) => branch),
    of(({ op }) => op),
    column(placed, ({ place }) => place),
    of(({ target }) => target),
    of(({ payload }) => payload),
    of(({ body }) => body),
    of(({ options }) => options),
    of(({ after }) => arrayLiteral(after)),
    of(({ recovery }) => recovery),
  ]
}

/** Writes names as PostgreSQL writes an array: arrays of arrays of different lengths cannot be parameters. */
export function arrayLiteral(names: readonly string[] | undefined): string | null {
  if (names === undefined) return null
  return `{${names.map((name) => `"${name.replace(/["\\]/g, '\\$&')}"`).join(',')}}`
}
