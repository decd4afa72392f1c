import type { TransactionStatus } from 'postcommit/protocol'
import type { BackOff } from '../outcome.ts'

export type { TransactionMode as Mode, TransactionStatus as Status } from 'postcommit/protocol'

/** After these nothing is called any more. */
export type FinalStatus = 'succeed' | 'failed'

/** What a global transaction of any mode has. Times are Unix milliseconds of the database's clock. */
interface Common {
  readonly gid: string
  /** Digest of what was asked for; the same gid with another digest is a conflict, not a repetition. */
  readonly digest?: string
  /** Set by an operator: nothing is called until it is resumed. A flag, not a status: the decision stands. */
  readonly paused?: boolean
  /** When to ask (prepared messages), to resume (workflows). Ops have due times of their own. */
  readonly dueAtMs: number
  /** Pause between the calls of an op that gave no decision. */
  readonly backOff: BackOff
  /** Pause after a branch said that it is still at it: fixed, because nothing is wrong. */
  readonly ongoingMs: number
}

/** A two-phase message: decided by the sender's local transaction alone; its branches can only be repeated. */
export interface Message extends Common {
  readonly mode: 'msg'
  readonly status: Exclude<TransactionStatus, 'aborting'>
  /** An earlier message of the same key that is not settled: nothing is called before it is. */
  readonly behind?: string | undefined
}

interface SagaCommon extends Common {
  readonly mode: 'saga'
  readonly status: TransactionStatus
  /** Compensate one by one, the latest start first, instead of in parallel wherever order allows it. */
  readonly oneByOne?: boolean | undefined
}

/** A saga whose actions are called by the relay. */
export interface Saga extends SagaCommon {
  readonly runBy: 'relay'
  /** When it is given up; never, if there is none. */
  readonly deadlineMs?: number | undefined
  /** How often an action is called again after its first failure before the saga is given up; without end, if absent. */
  readonly retryLimit?: number | undefined
  /** The limit is for the failures of all actions together, as DTM counts them, not for those of each. */
  readonly sharesRetryLimit?: boolean | undefined
}

/** A saga whose actions are called by its initiator, which registers each first; the relay only compensates. */
export interface LiveSaga extends SagaCommon {
  readonly runBy: 'client'
  /** There is one always: nobody else would notice that the initiator died. */
  readonly deadlineMs: number
}

/** Try, then confirm or cancel; the initiator tries. */
export interface Tcc extends Common {
  readonly mode: 'tcc'
  readonly status: TransactionStatus
  readonly deadlineMs: number
  /** Branches that are not nested in one another may be confirmed and cancelled in parallel. */
  readonly parallel?: boolean
}

/** Prepared transactions in several databases; the initiator prepares them. */
export interface Xa extends Common {
  readonly mode: 'xa'
  readonly status: TransactionStatus
  readonly deadlineMs: number
}

/** Steps called by code that is run again with the recorded results after a crash. */
export interface Workflow extends Common {
  readonly mode: 'workflow'
  readonly status: TransactionStatus
  readonly deadlineMs?: number | undefined
  /** What the deadline means; a workflow may as well take its time. */
  readonly onDeadline?: 'abort' | 'keep'
  /** Compensate a step that said Failure to its only call as well; any other that failed is compensated anyway. */
  readonly compensateFailed?: boolean
}

/** A global transaction as the planner sees it. */
export type Transaction = Message | Saga | LiveSaga | Tcc | Xa | Workflow

/** Whether nothing will happen to it any more. */
export function isFinal(status: TransactionStatus): status is FinalStatus {
  return status === 'succeed' || status === 'failed'
}

/** When it is given up unless it was decided before; undefined: never. A message is never decided by time. */
export function deadlineOf(transaction: Transaction): number | undefined {
  return transaction.mode === 'msg' ? undefined : transaction.deadlineMs
}
