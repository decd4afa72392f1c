import type { TransactionStatus } from 'postcommit/protocol'
import type { Op } from '../../../relay/engine/transaction/op.ts'
import type { Plan } from '../../../relay/engine/transaction/plan.ts'
import type { Transaction } from '../../../relay/engine/transaction/transaction.ts'
import { ENGINE, type Engine } from './engine.ts'
import type { Violation } from './invariants.ts'
import { Store } from './store.ts'

/** A decision that is wrong on purpose, and the promise that it breaks. */
export interface PlantedFault {
  readonly breaks: Violation['invariant']
  readonly what: string
  readonly engine: Engine
  /** Statements that forget to check something. */
  readonly store?: (engine: Engine) => Store
}

/** Gives back by a plan that something has overtaken: whoever submitted meanwhile is not woken for. */
class ReleasesBlindly extends Store {
  override release(token: number, _version: number, wakeAtMs: number | undefined): boolean {
    return super.release(token, this.version, wakeAtMs)
  }
}

/** Starts what was planned, whoever holds the claim and whatever has been decided by now. */
class StartsBlindly extends Store {
  override start(_token: number, _status: TransactionStatus, ops: readonly Op[]): readonly Op[] {
    return this.status === 'none' ? [] : super.start(this.token, this.status, ops)
  }
}

/** Plans with what it is told about the ops instead of what they are. */
function misled(see: (op: Op, transaction: Transaction) => Op): Engine {
  return {
    ...ENGINE,
    plan: (transaction, ops, nowMs) =>
      ENGINE.plan(
        transaction,
        ops.map((op) => see(op, transaction)),
        nowMs,
      ),
  }
}

function unstarted({ startSeq: _, ...op }: Op): Op {
  return op
}

function endless({ endSeq: _, ...op }: Op): Op {
  return op
}

function mischievous(twist: (plan: Plan, transaction: Transaction, ops: readonly Op[], nowMs: number) => Plan): Engine {
  return {
    ...ENGINE,
    plan: (transaction, ops, nowMs) => twist(ENGINE.plan(transaction, ops, nowMs), transaction, ops, nowMs),
  }
}

export const PLANTED: readonly PlantedFault[] = [
  {
    breaks: 'I1',
    what: 'a call that was begun counts as done',
    engine: misled((op, { status }) => (status === 'submitted' && op.calls > 0 ? { ...op, status: 'succeed' } : op)),
  },
  {
    breaks: 'I1',
    what: 'a phase-two op may fail, and is then done with',
    engine: misled((op) => (op.op !== 'action' && op.attempts > 0 ? { ...op, status: 'succeed' } : op)),
  },
  {
    breaks: 'I2',
    what: 'an outcome that is not known counts as not done',
    engine: misled((op, { status }) => (status === 'aborting' && op.status === 'prepared' ? unstarted(op) : op)),
  },
  {
    breaks: 'I2',
    what: 'a saga is given up at its deadline when its pivot may have succeeded',
    engine: mischievous((plan, transaction, _, nowMs) => {
      const isOver = transaction.mode === 'saga' && nowMs >= (transaction.deadlineMs ?? Number.POSITIVE_INFINITY)
      if (!isOver || transaction.status !== 'submitted') return plan
      return { ...plan, transition: { from: 'submitted', to: 'aborting', reason: { kind: 'deadline' } } }
    }),
  },
  { breaks: 'I3', what: 'branches are compensated in any order', engine: misled((op) => endless(op)) },
  {
    breaks: 'I4',
    what: 'a branch that failed is not compensated, so a call that is late finds the door open',
    engine: misled((op) => (op.status === 'failed' ? unstarted(op) : op)),
  },
  {
    breaks: 'I5',
    what: 'a prepared message is given up by time',
    engine: mischievous((plan, { mode, status, dueAtMs }, _, nowMs) => {
      if (mode !== 'msg' || status !== 'prepared' || nowMs < dueAtMs + 20) return plan
      return { ...plan, transition: { from: 'prepared', to: 'failed', reason: { kind: 'deadline' } } }
    }),
  },
  {
    breaks: 'I5',
    what: 'an answer that is not understood counts as committed',
    engine: {
      ...ENGINE,
      recordVerdict: (message, outcome, checks, nowMs, random) =>
        ENGINE.recordVerdict(message, outcome === 'unknown' ? 'committed' : outcome, checks, nowMs, random),
    },
  },
  {
    breaks: 'I4',
    what: 'a call is begun without a look at who holds the claim and what has been decided',
    engine: ENGINE,
    store: (engine) => new StartsBlindly(engine),
  },
  {
    breaks: 'I7',
    what: 'the time to wake is that of a plan that was overtaken',
    engine: ENGINE,
    store: (engine) => new ReleasesBlindly(engine),
  },
  {
    breaks: 'I6',
    what: 'contents are not compared',
    engine: {
      ...ENGINE,
      decide: (event, subject) => {
        if (event.kind !== 'submit') return ENGINE.decide(event, subject)
        return ENGINE.decide({ kind: 'submit', mode: event.mode }, subject)
      },
    },
  },
  {
    breaks: 'I7',
    what: 'nobody wakes for what is under way',
    engine: mischievous((plan, _, ops) => {
      const isUnderWay = ops.some(({ status, leaseUntilMs }) => status === 'prepared' && leaseUntilMs !== undefined)
      return plan.run.length === 0 && isUnderWay ? { ...plan, wakeAtMs: undefined } : plan
    }),
  },
  {
    breaks: 'I7',
    what: 'a confirmation that was refused is never repeated',
    engine: {
      ...ENGINE,
      recordOutcome: (transaction, op, outcome, nowMs, random) => {
        const change = ENGINE.recordOutcome(transaction, op, outcome, nowMs, random)
        const isRefused = change.status === 'prepared' && change.refusedDecision === true
        return isRefused ? { ...change, dueAtMs: Number.POSITIVE_INFINITY } : change
      },
    },
  },
  {
    breaks: 'I8',
    what: 'a saga has failed while a compensation is still under way',
    engine: misled((op, { mode, status }) =>
      mode === 'saga' && status === 'aborting' && op.op === 'compensate' && op.calls > 0
        ? { ...op, status: 'succeed' }
        : op,
    ),
  },
  {
    breaks: 'I8',
    what: 'branches may be registered after the decision',
    engine: {
      ...ENGINE,
      decide: (event, subject) => {
        const isLate = event.kind === 'register' && subject.status !== 'none'
        return isLate ? { kind: 'ok', effect: 'add-branch' } : ENGINE.decide(event, subject)
      },
    },
  },
  {
    breaks: 'I8',
    what: 'what the client has called is not marked as done by the submit',
    engine: {
      ...ENGINE,
      decide: (event, subject) => {
        const decision = ENGINE.decide(event, subject)
        if (decision.kind !== 'ok' || decision.effect !== 'mark-actions-done') return decision
        return decision.transition === undefined ? decision : { kind: 'ok', transition: decision.transition }
      },
    },
  },
]
