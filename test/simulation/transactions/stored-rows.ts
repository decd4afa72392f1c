import type { BranchOp, TransactionStatus } from 'postcommit/protocol'
import type { Op, OpStatus } from '../../../relay/engine/transaction/op.ts'
import type { Transaction } from '../../../relay/engine/transaction/transaction.ts'
import type { JoinedRow } from '../../../relay/store/transaction/operation-columns.ts'
import { texts } from '../world/simulated-pool.ts'

/** The service that all branches are called at, and that is asked. */
export const SERVICE = 'service'

/** The rows of one transaction. */
export interface Rows {
  transaction: Transaction
  ops: Op[]
  payload: string
}

/** What a row has beside what the engine sees. */
interface Counters {
  readonly seq: number
  readonly asked: number
  readonly backoffMs: number | undefined
  readonly nowMs: number
}

/** A claimed transaction as the statements give it back: joined with its ops. */
export function joinedRows({ transaction, ops, payload }: Rows, counters: Counters): JoinedRow[] {
  const { mode, status, gid, digest = '', backOff, ongoingMs } = transaction
  const { seq, asked, backoffMs = null, nowMs } = counters
  const { retryLimit, oneByOne } = { retryLimit: undefined, oneByOne: undefined, ...transaction }
  const deadlineMs = 'deadlineMs' in transaction ? (transaction.deadlineMs ?? null) : null
  const columns = {
    id: '1',
    tenant: '',
    gid,
    mode,
    status,
    runBy: isRunByRelay(transaction) ? ('relay' as const) : ('client' as const),
    digest,
    dialect: 'v1',
    protocol: 'http',
    checkDestination: mode === 'msg' ? SERVICE : '',
    checkTarget: mode === 'msg' ? `${SERVICE}/asked` : null,
    options: JSON.stringify({ retry: backOff, ongoingMs, retryLimit, oneByOne }),
    customData: null,
    extData: null,
    rollbackReason: null,
    seq,
    opCount: ops.length,
    asked,
    claimed: true,
    backoffMs,
    key: null,
    behind: null,
    createdAtMs: nowMs,
    deadlineMs,
    nowMs,
    isForOutbox: false,
  }
  if (ops.length === 0) return [{ ...columns, op: null }]
  return ops.map((op, place) => ({ ...columns, ...operationColumns(op, place, payload) }))
}

function operationColumns(op: Op, place: number, payload: string) {
  return {
    branch: op.branch,
    op: op.op,
    place,
    opStatus: op.status,
    target: `${SERVICE}/${op.op}`,
    payload: JSON.stringify(payload),
    body: null,
    opOptions: null,
    after: op.after ?? null,
    startSeq: op.startSeq ?? null,
    endSeq: op.endSeq ?? null,
    recovery: op.recovery ?? null,
    calls: op.calls,
    attempts: op.attempts,
    leaseUntilMs: op.leaseUntilMs ?? null,
    dueAtMs: op.dueAtMs === 0 ? null : op.dueAtMs,
  }
}

function isRunByRelay(transaction: Transaction): boolean {
  return transaction.mode === 'msg' || (transaction.mode === 'saga' && transaction.runBy === 'relay')
}

/** What is written of one op. */
export interface StoredOutcome {
  readonly branch: string
  readonly op: BranchOp
  readonly status: OpStatus
  readonly startSeq: number | undefined
  readonly endSeq: number | undefined
  readonly calls: number
  readonly attempts: number
  readonly leaseUntilMs: number | undefined
  readonly dueAtMs: number
}

/** What is written of a transaction. */
export interface StoredProgress {
  readonly token: string
  readonly from: TransactionStatus
  readonly opCount: number
  readonly to: TransactionStatus
  readonly seq: number
  readonly dueAtMs: number | undefined
  readonly backoffMs: number | undefined
  readonly asked: number
  readonly ops: readonly StoredOutcome[]
}

/** Reads one transaction of the values of `recordProgress`, which are columns, as its statement does. The ops are those of all. */
export function progressIn(values: readonly unknown[], index = 0): StoredProgress {
  const [token, from, opCount, to, seq, dueAtMs, backoffMs, asked] = values.map(
    (value) => texts(value)[index] ?? undefined,
  )
  return {
    token: token ?? '',
    from: from as TransactionStatus,
    opCount: Number(opCount),
    to: to as TransactionStatus,
    seq: Number(seq),
    dueAtMs: numberIn(dueAtMs),
    backoffMs: numberIn(backoffMs),
    asked: Number(asked),
    ops: outcomesIn(values.slice(OUTCOME_FROM)),
  }
}

/** Where the columns of the ops begin. */
const OUTCOME_FROM = 15

function outcomesIn(values: readonly unknown[]): StoredOutcome[] {
  const columns = values.map(texts)
  const [ids = [], branches = [], ops = [], statuses = [], starts = [], ends = [], attempts = [], dues = []] = columns
  const [calls = [], leases = []] = columns.slice(13)
  return ids.map((_, index) => ({
    branch: branches[index] ?? '',
    op: ops[index] as BranchOp,
    status: statuses[index] as OpStatus,
    startSeq: numberIn(starts[index]),
    endSeq: numberIn(ends[index]),
    calls: Number(calls[index]),
    attempts: Number(attempts[index]),
    leaseUntilMs: numberIn(leases[index]),
    dueAtMs: numberIn(dues[index]) ?? 0,
  }))
}

function numberIn(text: string | null | undefined): number | undefined {
  return text === null || text === undefined ? undefined : Number(text)
}

/** An op with what is written of it. A number that is not given stays what it was. */
export function withOutcome(op: Op, { startSeq, endSeq, ...written }: StoredOutcome): Op {
  return { ...op, ...written, startSeq: startSeq ?? op.startSeq, endSeq: endSeq ?? op.endSeq }
}

/** A transaction in another status. The union forgets which statuses go with which mode. */
export function inStatus(transaction: Transaction, status: TransactionStatus): Transaction {
  if (transaction.mode !== 'msg') return { ...transaction, status }
  if (status === 'aborting') throw new Error('a message cannot be compensated')
  return { ...transaction, status }
}
