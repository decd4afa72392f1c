import type { BackOff } from '../outcome.ts'
import { backOffMs } from '../retry.ts'
import { mayFail, type Op } from './op.ts'
import type { Transaction } from './transaction.ts'

/**
 * What a call of a branch came to. `done`: it has happened. `failure`: it has not and never will (409). `ongoing`: the
 * branch is at it (425). `retry`: anything else, a timeout included; whether it has happened is not known.
 */
export type CallOutcome =
  | { readonly kind: 'done' }
  | { readonly kind: 'failure'; readonly error: string }
  | { readonly kind: 'ongoing' }
  | { readonly kind: 'retry'; readonly error: string; readonly retryAfterMs?: number }

/** What is to be written about an op. The lease goes with it, whichever it is. */
export type OpChange =
  /** Final. `takesEndSeq`: draw the next number of the transaction, in the same statement. */
  | { readonly status: 'succeed'; readonly takesEndSeq: boolean }
  | { readonly status: 'failed'; readonly takesEndSeq: boolean; readonly error: string }
  /** To be called again. `error` is absent if nothing is wrong. */
  | {
      readonly status: 'prepared'
      readonly attempts: number
      readonly dueAtMs: number
      readonly error?: string
      /** It refused what has been decided: tell a person, who is the only one that can help. */
      readonly refusedDecision?: true
    }
  /** It was final before; the first result stands. */
  | { readonly status: 'unchanged'; readonly contradicts: boolean }

/**
 * What the outcome of a call does to its op. What the transaction makes of it is for `plan` to say; both belong into
 * one statement, or a crash in between loses the one while the other stands.
 *
 * Failure counts only where there is another way (`mayFail`). From a confirmation, a compensation or a branch of a
 * message it is one more error to be repeated, and worth telling somebody.
 *
 * @param random - a number in [0, 1)
 */
export function recordOutcome(
  transaction: Pick<Transaction, 'mode' | 'backOff' | 'ongoingMs'>,
  op: Op,
  outcome: CallOutcome,
  nowMs: number,
  random: number,
): OpChange {
  if (op.status !== 'prepared') return { status: 'unchanged', contradicts: contradicts(op, outcome) }
  const takesEndSeq = op.op === 'action' || op.op === 'try'
  switch (outcome.kind) {
    case 'done':
      return { status: 'succeed', takesEndSeq }
    case 'failure':
      if (mayFail(transaction, op)) return { status: 'failed', takesEndSeq, error: outcome.error }
      return { ...again(transaction.backOff, op, outcome.error, nowMs, random), refusedDecision: true }
    case 'ongoing':
      return { status: 'prepared', attempts: op.attempts, dueAtMs: nowMs + transaction.ongoingMs }
    case 'retry': {
      const change = again(transaction.backOff, op, outcome.error, nowMs, random)
      return { ...change, dueAtMs: Math.max(change.dueAtMs, nowMs + askedMs(outcome.retryAfterMs)) }
    }
  }
}

function again(backOff: BackOff, { attempts }: Op, error: string, nowMs: number, random: number) {
  const failed = attempts + 1
  return { status: 'prepared', attempts: failed, error, dueAtMs: nowMs + backOffMs(backOff, failed, random) } as const
}

function contradicts({ status }: Op, { kind }: CallOutcome): boolean {
  return (status === 'succeed' && kind === 'failure') || (status === 'failed' && kind === 'done')
}

const RETRY_AFTER_CAP_MS = 3_600_000

function askedMs(retryAfterMs = 0): number {
  return Math.round(Math.min(RETRY_AFTER_CAP_MS, Math.max(0, retryAfterMs)))
}
