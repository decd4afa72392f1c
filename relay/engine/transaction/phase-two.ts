import type { BranchOp } from 'postcommit/protocol'
import { type Span, UNDO_ORDERS, type UndoOrder } from './compensation-order.ts'
import { type Calls, callable } from './forward.ts'
import { isUnderWay, mayHaveRun, type Op } from './op.ts'

/** What is left of phase two. */
export interface PhaseTwo extends Calls {
  readonly isDone: boolean
}

/** What of a transaction phase two consists of, and in which order. */
export interface PhaseTwoRule {
  readonly calls: readonly BranchOp[]
  readonly order: UndoOrder
  /** Compensate an action whose only call was answered by Failure. */
  readonly compensateFailed: boolean
}

/**
 * The planner of phase two: confirms or undoes every branch that may have done anything, in the order the rule asks
 * for. It never gives up; a phase-two op can only be repeated.
 *
 * What is undone: actions that succeeded, and those whose outcome is not known. Never those that were not started.
 * An action that failed is undone too, unless Failure was the answer to its only call: of two calls the one without an
 * answer may still arrive, and it is the compensation that closes the door on it (DTM compensates failed branches for
 * the same reason).
 */
export function phaseTwo(ops: readonly Op[], rule: PhaseTwoRule, nowMs: number): PhaseTwo {
  const tasks = ops.filter(({ op }) => rule.calls.includes(op)).flatMap((op) => taskOf(op, ops, rule) ?? [])
  const left = tasks.filter(({ op }) => op.status !== 'succeed')
  const mustPrecede = UNDO_ORDERS[rule.order]
  const free = left.filter(({ span }) => !left.some((other) => mustPrecede(other.span, span)))
  const settled = free.filter(({ action }) => action === undefined || !isUnderWay(action, nowMs))
  const { ready, nextAtMs } = callable(
    settled.map(({ op }) => op),
    nowMs,
  )
  // An action under way is waited for until it is given up for lost: what comes after its own compensation is kept out
  // by the barrier only where there is one.
  const leases = free.filter((task) => !settled.includes(task)).map(({ action }) => action?.leaseUntilMs ?? nowMs)
  return { ready, nextAtMs: Math.min(nextAtMs, ...leases), isDone: left.length === 0 }
}

interface Task {
  readonly op: Op
  readonly span: Span
  /** The action that a compensation undoes. */
  readonly action?: Op
}

function taskOf(op: Op, ops: readonly Op[], rule: PhaseTwoRule): Task | undefined {
  if (op.op !== 'compensate') return { op, span: spanOf(op) }
  const action = ops.find((other) => other.branch === op.branch && other.op === 'action')
  if (action === undefined || !mayHaveRun(action)) return undefined
  const failedForSure = action.status === 'failed' && action.calls <= 1
  return failedForSure && !rule.compensateFailed ? undefined : { op, span: spanOf(action), action }
}

function spanOf({ branch, startSeq = 0, endSeq }: Op): Span {
  return endSeq === undefined ? { branch, startSeq } : { branch, startSeq, endSeq }
}
