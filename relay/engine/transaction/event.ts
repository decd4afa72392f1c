import type { TransactionMode, TransactionStatus, Verdict } from 'postcommit/protocol'
import type { Transition } from './transition.ts'

/** An answer to a back-query: a verdict, or something that is none. */
export type BackQueryAnswer = Verdict | 'unknown'

/** What an operator can do to one transaction. */
export type OperatorAct = 'retry-now' | 'pause' | 'resume' | 'abort' | 'force-fail' | 'force-succeed'

/** What can happen to a transaction. */
export type TransactionEvent =
  | { readonly kind: 'prepare'; readonly mode: TransactionMode; readonly digest?: string }
  | { readonly kind: 'submit'; readonly mode: TransactionMode; readonly digest?: string }
  | { readonly kind: 'abort'; readonly reason: string }
  | { readonly kind: 'register' }
  | { readonly kind: 'verdict'; readonly verdict: BackQueryAnswer }
  | { readonly kind: 'deadline' }
  | { readonly kind: 'result' }
  | { readonly kind: 'operator'; readonly act: OperatorAct; readonly reason: string }

/** What is known when an event arrives. */
export type Subject =
  | { readonly status: 'none'; readonly runBy?: 'relay' | 'client' }
  | {
      readonly status: TransactionStatus
      readonly mode: TransactionMode
      readonly runBy?: 'relay' | 'client'
      readonly digest?: string
      readonly paused?: boolean
      readonly onDeadline?: 'abort' | 'keep'
      /** Whether everything that may have happened can still be undone; see `mayTurnBack`. */
      readonly mayTurnBack: boolean
    }

/**
 * Why a request is refused (409).
 * `other-content`, `other-mode`: the gid stands for something else. `decided`: it is past that. `failed`: it was or is
 * being undone. `cannot-turn-back`: undoing it is not possible any more. `not-prepared`: too late for another branch.
 */
export type ConflictCode = 'other-content' | 'other-mode' | 'decided' | 'failed' | 'cannot-turn-back' | 'not-prepared'

/**
 * Facts that contradict one another.
 * `committed-after-failed`: a message was given up although its local transaction stands.
 * `rolled-back-after-submitted`: a message is being delivered although its local transaction does not.
 */
export type Alarm = 'committed-after-failed' | 'rolled-back-after-submitted'

/** What else to do when an event is accepted. */
export type Effect =
  /** Write the branch, in the statement that locks the transaction. */
  | 'add-branch'
  /** Mark what the client has called as done, in the statement of the transition. */
  | 'mark-actions-done'
  /** Ask again later. */
  | 'ask-later'
  /** Write what became of the op; plan again unless it came too late. */
  | 'record-and-plan'
  | 'record-only'
  | 'make-due'
  | 'pause'
  | 'resume'

/** What is decided about an event. */
export type Decision =
  | { readonly kind: 'ok'; readonly transition?: Transition; readonly effect?: Effect }
  /** It has been so already; the answer is that of the first time. */
  | { readonly kind: 'duplicate' }
  | { readonly kind: 'conflict'; readonly code: ConflictCode }
  | { readonly kind: 'not-found' }
  /** Does not apply and need not be answered. */
  | { readonly kind: 'nothing' }
  | { readonly kind: 'alarm'; readonly alarm: Alarm }
