import type { Op } from '../../engine/transaction/op.ts'
import { type CallOutcome, recordOutcome } from '../../engine/transaction/record-outcome.ts'
import type { Transaction } from '../../engine/transaction/transaction.ts'
import type { Reason, Transition } from '../../engine/transaction/transition.ts'
import type { OperationProgress } from '../../store/transaction/record-progress.ts'
import type { ClaimedTransaction } from '../../store/transaction/transaction-row.ts'
import { opKey } from '../stored/engine-view.ts'

/** A transaction with its ops as they are now, some of it perhaps not written yet. */
export interface Work {
  readonly transaction: Transaction
  readonly ops: readonly Op[]
  /** The counter of starts and ends. */
  readonly seq: number
}

/** What the last call of an op came to, beside what the engine makes of it. */
export interface OpNote {
  readonly httpStatus?: number | undefined
  readonly error?: string | undefined
  readonly durationMs?: number | undefined
  readonly result?: Buffer | undefined
  readonly event?: OperationProgress['event']
}

/** A call that has ended. */
export interface EndedCall {
  readonly outcome: CallOutcome
  /** Nothing was learned about the call, because its destination is away: no attempt is burnt. */
  readonly isAway: boolean
  /** It was never made, because of the branch itself: that its destination works is not in doubt. */
  readonly isOfBranch?: boolean
  readonly status?: number | undefined
  readonly durationMs: number
  readonly result?: Buffer | undefined
}

/** Makes a transition. */
export function moved(work: Work, { to }: Transition): Work {
  if (to === 'prepared') return work
  const { transaction } = work
  // A message is never aborting; the table of events has no such rule.
  if (transaction.mode === 'msg') {
    return to === 'aborting' ? work : { ...work, transaction: { ...transaction, status: to } }
  }
  return { ...work, transaction: { ...transaction, status: to } }
}

/** Begins a call: an action gets its place in the happened-before, and any op the time until it is waited for. */
export function begun(work: Work, op: Op, leaseUntilMs: number): Work {
  const starts = op.op === 'action' && op.startSeq === undefined
  const seq = starts ? work.seq + 1 : work.seq
  const started: Op = { ...op, calls: op.calls + 1, leaseUntilMs, startSeq: starts ? seq : op.startSeq }
  return { ...work, seq, ops: replaced(work.ops, started) }
}

/** Writes down what a call came to. `note` is what its row is told; a first result is never overwritten. */
export function ended(
  work: Work,
  key: string,
  call: EndedCall,
  nowMs: number,
  random: number,
): { readonly work: Work; readonly note: OpNote | undefined; readonly refusedDecision: boolean } {
  const op = work.ops.find((one) => opKey(one) === key)
  if (op === undefined) return { work, note: undefined, refusedDecision: false }
  const change = recordOutcome(work.transaction, op, call.outcome, nowMs, random)
  const { status: httpStatus, durationMs } = call
  switch (change.status) {
    case 'unchanged':
      return { work, note: undefined, refusedDecision: false }
    case 'succeed':
    case 'failed': {
      const seq = change.takesEndSeq ? work.seq + 1 : work.seq
      const endSeq = change.takesEndSeq ? seq : op.endSeq
      const final: Op = { ...op, status: change.status, endSeq, leaseUntilMs: undefined }
      const note: OpNote =
        change.status === 'succeed'
          ? { httpStatus, error: undefined, durationMs, result: call.result, event: undefined }
          : { httpStatus, error: change.error, durationMs, result: undefined, event: 'refused' }
      return { work: { ...work, seq, ops: replaced(work.ops, final) }, note, refusedDecision: false }
    }
    case 'prepared': {
      const attempts = call.isAway ? op.attempts : change.attempts
      const again: Op = { ...op, attempts, dueAtMs: change.dueAtMs, leaseUntilMs: undefined }
      const refusedDecision = change.refusedDecision === true
      const event = eventOf(call, refusedDecision)
      return {
        work: { ...work, ops: replaced(work.ops, again) },
        note: { httpStatus, error: change.error, durationMs, result: undefined, event },
        refusedDecision,
      }
    }
  }
}

function eventOf({ outcome, isAway }: EndedCall, refusedDecision: boolean): OpNote['event'] {
  if (refusedDecision) return 'refused'
  if (outcome.kind === 'ongoing') return 'ongoing'
  return isAway ? 'unavailable' : 'failed'
}

function replaced(ops: readonly Op[], op: Op): readonly Op[] {
  const key = opKey(op)
  return ops.map((one) => (opKey(one) === key ? op : one))
}

/**
 * Why a transaction was given up, for people.
 * @param note - what is known of the call that failed
 */
export function reasonText(reason: Reason, note: Pick<OpNote, 'error' | 'httpStatus'> = {}): string {
  switch (reason.kind) {
    case 'asked':
    case 'forced':
      return reason.text
    case 'branch-failed':
      return `branch ${reason.branch} failed${saidBy(note)}`
    case 'retry-limit':
      return `branch ${reason.branch} failed more than ${reason.limit} times`
    case 'deadline':
      return 'the time limit has passed'
    case 'rolled-back':
      return 'the local transaction was rolled back'
  }
}

/** What the branch said beyond its status, if it did. */
function saidBy({ error, httpStatus }: Pick<OpNote, 'error' | 'httpStatus'>): string {
  return error === undefined || error === `answered ${httpStatus}` ? '' : `: ${error}`
}

/** An op as it is to be stored. */
export function progressOf(op: Op, note: OpNote, nowMs: number): OperationProgress {
  const { branch, op: name, status, startSeq, endSeq, calls, attempts, leaseUntilMs, dueAtMs } = op
  return {
    branch,
    op: name,
    status,
    startSeq,
    endSeq,
    calls,
    attempts,
    leaseUntilMs,
    // What is due already is due as soon as its turn comes.
    dueAtMs: status === 'prepared' && dueAtMs > nowMs ? dueAtMs : undefined,
    httpStatus: note.httpStatus,
    error: note.error,
    durationMs: note.durationMs,
    result: note.result,
    event: note.event,
  }
}

/**
 * Whether the begin of a call has to be known after a crash. That an action may have happened decides whether it is
 * undone; everything else is repeated in any case.
 */
export function mustBeginBeWritten({ mode }: ClaimedTransaction, { op }: Op): boolean {
  return op === 'action' && mode !== 'msg'
}

/** What a call says about its destination. */
export function resultOf({ isAway, isOfBranch, outcome, status }: EndedCall) {
  if (isAway) return 'away' as const
  if (isOfBranch === true) return 'ok' as const
  return outcome.kind === 'retry' && (status === undefined || status >= 500) ? ('failed' as const) : ('ok' as const)
}
