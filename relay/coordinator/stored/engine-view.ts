import type { BranchOp } from 'postcommit/protocol'
import type { Op } from '../../engine/transaction/op.ts'
import type { Transaction } from '../../engine/transaction/transaction.ts'
import type { ClaimedTransaction, OperationRow } from '../../store/transaction/transaction-row.ts'
import { readStoredOptions } from './stored-options.ts'

const RETRY = { baseMs: 1000, capMs: 60_000 }

/** A claimed transaction as the engine sees it. */
export function transactionOf(row: ClaimedTransaction): Transaction {
  const { gid, digest, deadlineMs, nowMs, status } = row
  const {
    retry = RETRY,
    retryLimit,
    sharesRetryLimit,
    oneByOne,
    ongoingMs = retry.baseMs,
  } = readStoredOptions(row.options)
  const common = { gid, digest, backOff: retry, ongoingMs, dueAtMs: nowMs }
  const deadline = { deadlineMs: deadlineMs ?? undefined }
  // Those that have to have one were given one when they were handed in.
  const surely = { deadlineMs: deadlineMs ?? Number.MAX_SAFE_INTEGER }
  switch (row.mode) {
    case 'msg':
      // The table has no rule that would make a message aborting.
      return {
        ...common,
        mode: 'msg',
        status: status === 'aborting' ? 'failed' : status,
        behind: row.behind ?? undefined,
      }
    case 'saga': {
      const isOneByOne = oneByOne === true
      if (row.runBy === 'client') {
        return { ...common, ...surely, mode: 'saga', runBy: 'client', status, oneByOne: isOneByOne }
      }
      return {
        ...common,
        mode: 'saga',
        runBy: 'relay',
        status,
        deadlineMs: deadlineMs ?? undefined,
        oneByOne: isOneByOne,
        retryLimit,
        sharesRetryLimit: sharesRetryLimit === true,
      }
    }
    case 'tcc':
    case 'xa':
      return { ...common, ...surely, mode: row.mode, status }
    case 'workflow':
      return { ...common, ...deadline, mode: 'workflow', status }
  }
}

/** The ops of a claimed transaction as the engine sees them, in the order of their places. */
export function opsOf(row: ClaimedTransaction): readonly Op[] {
  const actions = row.operations.filter(({ op }) => op === 'action')
  const { concurrent = false } = readStoredOptions(row.options)
  // As `dependenciesOf` has it for definitions; what DTM's clients hand in is stored by the same rule.
  const afterOf = new Map(
    actions.map((action, index) => {
      const before = actions[index - 1]
      return [action, action.after ?? (concurrent || before === undefined ? [] : [before.branch])]
    }),
  )
  return row.operations.map((operation) => opOf(row, operation, afterOf.get(operation)))
}

function opOf(row: ClaimedTransaction, operation: OperationRow, after: readonly string[] | undefined): Op {
  const { branch, op, status, recovery, startSeq, endSeq, calls, attempts, leaseUntilMs } = operation
  // A lease of an earlier claim is that of a call which nobody waits for any more. What is repeated need not wait for
  // it to run out; what is undone has to, where there is no barrier to keep a late call out.
  const isWaitedFor = row.status === 'aborting' && (op === 'action' || op === 'try')
  return {
    branch,
    op: op as BranchOp,
    status,
    recovery: recovery ?? undefined,
    after,
    startSeq: startSeq ?? undefined,
    endSeq: endSeq ?? undefined,
    calls,
    attempts,
    dueAtMs: dueAtMs(row, operation),
    leaseUntilMs: isWaitedFor ? (leaseUntilMs ?? undefined) : undefined,
  }
}

function dueAtMs({ nowMs, status, options }: ClaimedTransaction, operation: OperationRow): number {
  if (operation.dueAtMs !== null) return operation.dueAtMs
  const isFirst = status === 'submitted' && operation.calls === 0 && operation.attempts === 0
  if (!isFirst) return nowMs
  return nowMs + (readStoredOptions(operation.options).delayMs ?? readStoredOptions(options).delayMs ?? 0)
}

/** What names an op within its transaction. */
export function opKey({ branch, op }: { readonly branch: string; readonly op: string }): string {
  return `${branch}\0${op}`
}
