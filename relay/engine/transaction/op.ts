import type { BranchOp } from 'postcommit/protocol'
import type { Transaction } from './transaction.ts'

/** What is known of an op: nothing final yet, done, or refused for good by the branch. */
export type OpStatus = 'prepared' | 'succeed' | 'failed'

/**
 * What a step of a saga means for those before it.
 * `undo`: it may fail, and is compensated when others do.
 * `pivot`: it may fail; once it succeeded there is no way back.
 * `forward`: it cannot fail, only be repeated. What may fail comes before it, unless it can be undone all the same.
 */
export type Recovery = 'undo' | 'pivot' | 'forward'

/** One call of a branch, with what is remembered about it. */
export interface Op {
  readonly branch: string
  /** `try` and the actions of clients are called by them, everything else by the relay. */
  readonly op: BranchOp
  readonly status: OpStatus
  /** Actions only; `undo` if absent. */
  readonly recovery?: Recovery | undefined
  /** Actions only: branches whose actions have to succeed first. */
  readonly after?: readonly string[] | undefined
  /**
   * Number of the branch's start in its transaction, on the op it was started or registered by. Written before the
   * first call, so that "it may have happened" survives a crash.
   */
  readonly startSeq?: number | undefined
  /** Number of the branch's end, from the same counter: everything with a later start has happened after it. */
  readonly endSeq?: number | undefined
  /** Calls begun. One that is not matched by an answer may still arrive. */
  readonly calls: number
  /** Calls that ended without a decision; what a retry limit counts. */
  readonly attempts: number
  /** When it may be called (again). */
  readonly dueAtMs: number
  /** A call is under way and given up for lost then. Absent: none is. */
  readonly leaseUntilMs?: number | undefined
}

/** Whether a call may be on its way right now. */
export function isUnderWay(op: Op, nowMs: number): boolean {
  return op.status === 'prepared' && op.leaseUntilMs !== undefined && op.leaseUntilMs > nowMs
}

/** Whether the branch may have done anything. An outcome that is not known counts as done: what is not undone stays. */
export function mayHaveRun(op: Op): boolean {
  return op.startSeq !== undefined
}

/** From when on an op can be called: when it is due and no call is under way. */
export function callableAtMs(op: Op): number {
  return Math.max(op.dueAtMs, op.leaseUntilMs ?? Number.NEGATIVE_INFINITY)
}

/**
 * Whether a branch may answer Failure to this op. Only where there is another way: what has been decided is repeated
 * until it is done, and a message has been decided before it is sent.
 */
export function mayFail({ mode }: Pick<Transaction, 'mode'>, { op, recovery }: Pick<Op, 'op' | 'recovery'>): boolean {
  switch (op) {
    case 'action':
      return mode !== 'msg' && recovery !== 'forward'
    case 'try':
      return true
    case 'compensate':
    case 'confirm':
    case 'cancel':
    case 'commit':
    case 'rollback':
      return false
  }
}
