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
  const actions = new Map(ops.filter(({ op }) => op === 'action').map((op) => [op.branch, op]))
  const unfinished = ops.filter(({ op, status }) => rule.calls.includes(op) && status !== 'succeed')
  const left = unfinished.flatMap((op) => taskOf(op, actions, rule) ?? [])
  const isHeld = UNDO_ORDERS[rule.order](left.map(({ span }) => span))
  const free = left.filter(({ span }) => !isHeld(span))
  const settled = free.filter(({ action }) => action === undefined || !isUnderWay(action, nowMs))
  const { ready, nextAtMs } = callable(
    settled.map(({ op }) => op),
    nowMs,
  )
  // An action under way is waited for until it is given up for lost: what comes after its own compensation is kept out
  // by the barrier only where there is one.
  const leases = free.map(({ action }) => action?.leaseUntilMs ?? nowMs).filter((leaseMs) => leaseMs > nowMs)
  return { ready, nextAtMs: Math.min(nextAtMs, ...leases), isDone: left.length === 0 }
}

interface Task {
  readonly op: Op
  readonly span: Span
  /** The action that a compensation undoes. */
  readonly action?: Op
}

function taskOf(op: Op, actions: ReadonlyMap<string, Op>, rule: PhaseTwoRule): Task | undefined {
  if (op.op !== 'compensate') return { op, span: spanOf(op) }
  const action = actions.get(op.branch)
  // A client that calls the action itself need not say where it is: what was registered may have run.
  if (action === undefined) return mayHaveRun(op) ? { op, span: spanOf(op) } : undefined
  if (!mayHaveRun(action)) return undefined
  const failedForSure = action.status === 'failed' && action.calls <= 1
  return failedForSure && !rule.compensateFailed ? undefined : { op, span: spanOf(action), action }
}

function spanOf({ branch, startSeq = 0, endSeq }: Op): Span {
  return endSeq === undefined ? { branch, startSeq } : { branch, startSeq, endSeq }
}
