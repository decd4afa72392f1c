import { decide } from './decide.ts'
import { type Calls, forward } from './forward.ts'
import { mayFail, type Op } from './op.ts'
import { type PhaseTwoRule, phaseTwo } from './phase-two.ts'
import { deadlineOf, isFinal, type Saga, type Transaction } from './transaction.ts'
import type { Transition } from './transition.ts'
import { mayTurnBack } from './turning-back.ts'

/** Something to do for a transaction. */
export type Run =
  | { readonly kind: 'call'; readonly op: Op }
  /** Ask the sender what became of its local transaction. */
  | { readonly kind: 'ask' }
  /** Hand the workflow to a worker again. */
  | { readonly kind: 'resume' }

/** What to do about a transaction now. */
export interface Plan {
  /** Write this first, then plan again; nothing is run beside it. */
  readonly transition?: Transition
  readonly run: readonly Run[]
  /**
   * When to plan again unless something happens before; undefined: nothing will, because it has ended or is paused.
   * What is in `run` is not waited for: whoever starts it writes a lease first (`leaseUntilMs` of the op; `dueAtMs` of
   * the transaction for `ask` and `resume`), which is waited for then.
   */
  readonly wakeAtMs: number | undefined
}

const NOTHING: Plan = { run: [], wakeAtMs: undefined }

/**
 * Decides what happens to a transaction next. Pure: what it knows is in the rows, so any relay comes to the same plan,
 * and one that takes over goes on where the other was.
 */
export function plan(transaction: Transaction, ops: readonly Op[], nowMs: number): Plan {
  if (isFinal(transaction.status) || transaction.paused === true) return NOTHING
  const transition = atDeadline(transaction, ops, nowMs)
  if (transition !== undefined) return moved(transition, nowMs)
  switch (transaction.status) {
    case 'prepared':
      return planUndecided(transaction, nowMs)
    case 'submitted':
      return planDecided(transaction, ops, nowMs)
    case 'aborting': {
      const { isDone, ...calls } = phaseTwo(ops, undoing(transaction), nowMs)
      return isDone ? moved({ from: 'aborting', to: 'failed' }, nowMs) : waiting(transaction, calls, nowMs)
    }
  }
}

function atDeadline(transaction: Transaction, ops: readonly Op[], nowMs: number): Transition | undefined {
  const deadlineMs = deadlineOf(transaction)
  if (deadlineMs === undefined || nowMs < deadlineMs) return undefined
  const decision = decide({ kind: 'deadline' }, { ...transaction, mayTurnBack: mayTurnBack(ops) })
  return decision.kind === 'ok' ? decision.transition : undefined
}

function planUndecided(transaction: Transaction, nowMs: number): Plan {
  const deadlineMs = deadlineOf(transaction) ?? Number.POSITIVE_INFINITY
  switch (transaction.mode) {
    case 'msg':
    case 'workflow': {
      const run: Run = transaction.mode === 'msg' ? { kind: 'ask' } : { kind: 'resume' }
      if (transaction.dueAtMs <= nowMs) return { run: [run], wakeAtMs: nowMs + transaction.backOff.capMs }
      return { run: [], wakeAtMs: Math.min(transaction.dueAtMs, future(deadlineMs, nowMs)) }
    }
    // The initiator is at work; all there is to wait for is that it takes too long.
    case 'saga':
    case 'tcc':
    case 'xa':
      return { run: [], wakeAtMs: orAfterCap(deadlineMs, transaction, nowMs) }
  }
}

function planDecided(transaction: Transaction, ops: readonly Op[], nowMs: number): Plan {
  switch (transaction.mode) {
    case 'msg':
      if (transaction.behind !== undefined)
        return waiting(transaction, { ready: [], nextAtMs: Number.POSITIVE_INFINITY }, nowMs)
      return planForward(transaction, ops, nowMs)
    case 'saga':
      // What the client has called was marked as done by the submit.
      if (transaction.runBy === 'client') return moved({ from: 'submitted', to: 'succeed' }, nowMs)
      return givenUp(transaction, ops, nowMs) ?? planForward(transaction, ops, nowMs)
    case 'tcc':
    case 'xa':
    case 'workflow': {
      const { isDone, ...calls } = phaseTwo(ops, confirming(transaction), nowMs)
      return isDone ? moved({ from: 'submitted', to: 'succeed' }, nowMs) : waiting(transaction, calls, nowMs)
    }
  }
}

function planForward(transaction: Transaction, ops: readonly Op[], nowMs: number): Plan {
  const actions = ops.filter(({ op }) => op === 'action')
  if (actions.every(({ status }) => status === 'succeed')) return moved({ from: 'submitted', to: 'succeed' }, nowMs)
  return waiting(transaction, forward(actions, nowMs), nowMs)
}

function givenUp(saga: Saga, ops: readonly Op[], nowMs: number): Plan | undefined {
  const actions = ops.filter(({ op }) => op === 'action')
  const failed = actions.find(({ status }) => status === 'failed')
  if (failed !== undefined) {
    const reason = { kind: 'branch-failed', branch: failed.branch } as const
    return moved({ from: 'submitted', to: 'aborting', reason }, nowMs)
  }
  const limit = saga.retryLimit
  if (limit === undefined || !mayTurnBack(ops)) return undefined
  const failing = actions.filter((op) => op.status === 'prepared' && mayFail(saga, op))
  const others = saga.sharesRetryLimit === true ? actions.reduce((sum, { attempts }) => sum + attempts, 0) : 0
  const spent = failing.find(({ attempts }) => attempts > 0 && Math.max(attempts, others) > limit)
  if (spent === undefined) return undefined
  const reason = { kind: 'retry-limit', branch: spent.branch, limit } as const
  return moved({ from: 'submitted', to: 'aborting', reason }, nowMs)
}

function undoing(transaction: Transaction): PhaseTwoRule {
  switch (transaction.mode) {
    case 'saga': {
      const order = transaction.oneByOne === true ? 'reverse' : 'happened-before'
      return { calls: ['compensate'], order, compensateFailed: true }
    }
    case 'workflow': {
      const compensateFailed = transaction.compensateFailed === true
      return { calls: ['compensate', 'cancel', 'rollback'], order: 'happened-before', compensateFailed }
    }
    case 'tcc':
      return { calls: ['cancel'], order: transaction.parallel === true ? 'nested' : 'reverse', compensateFailed: true }
    case 'xa':
      return { calls: ['rollback'], order: 'any', compensateFailed: true }
    case 'msg':
      return { calls: [], order: 'any', compensateFailed: false }
  }
}

function confirming(transaction: Transaction): PhaseTwoRule {
  switch (transaction.mode) {
    case 'tcc':
      return { ...undoing(transaction), calls: ['confirm'] }
    case 'xa':
      return { ...undoing(transaction), calls: ['commit'] }
    case 'workflow':
      return { calls: ['confirm', 'commit'], order: 'nested', compensateFailed: false }
    case 'msg':
    case 'saga':
      return { calls: [], order: 'any', compensateFailed: false }
  }
}

function moved(transition: Transition, nowMs: number): Plan {
  return { transition, run: [], wakeAtMs: nowMs }
}

function waiting(transaction: Transaction, { ready, nextAtMs }: Calls, nowMs: number): Plan {
  const deadlineMs = transaction.status === 'submitted' ? deadlineOf(transaction) : undefined
  const nextMs = Math.min(nextAtMs, future(deadlineMs ?? Number.POSITIVE_INFINITY, nowMs))
  return { run: ready.map((op) => ({ kind: 'call', op })), wakeAtMs: orAfterCap(nextMs, transaction, nowMs) }
}

/** Where no time is known to wait for, looks again after the longest pause, so that a wake-up that was missed is one. */
function orAfterCap(atMs: number, { backOff }: Transaction, nowMs: number): number {
  return Number.isFinite(atMs) ? atMs : nowMs + backOff.capMs
}

/** A deadline that has passed without effect is not waited for again. */
function future(atMs: number, nowMs: number): number {
  return atMs > nowMs ? atMs : Number.POSITIVE_INFINITY
}
