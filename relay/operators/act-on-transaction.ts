import { type BranchOp, PostcommitError } from 'postcommit/protocol'
import { decide } from '../engine/transaction/decide.ts'
import type { Decision, OperatorAct, TransactionEvent } from '../engine/transaction/event.ts'
import type { Op } from '../engine/transaction/op.ts'
import { isFinal, type Status } from '../engine/transaction/transaction.ts'
import { mayTurnBack } from '../engine/transaction/turning-back.ts'
import { notifyRelays } from '../store/member/notify-relays.ts'
import type { Act } from '../store/operator/act.ts'
import type { Queryable } from '../store/queryable.ts'
import { expediteHeads } from '../store/transaction/expedite-heads.ts'
import { expediteFollowersOf } from '../store/transaction/expedite-keys.ts'
import { expediteTransaction } from '../store/transaction/expedite-transactions.ts'
import { moveTransactions } from '../store/transaction/move-transactions.ts'
import { pauseTransaction, resumeTransaction } from '../store/transaction/pause-transaction.ts'
import { selectTransaction, type TransactionStory } from '../store/transaction/select-transaction.ts'
import type { TransactionKey } from '../store/transaction/transaction-row.ts'

/**
 * What a person can decide about a transaction.
 * `committed`, `aborted`: what its back-query would have said; an aborted saga is undone.
 * `succeed`, `failed`: it ends so, whatever its branches did. Nothing is called any more.
 */
export const RESOLUTIONS = ['committed', 'aborted', 'succeed', 'failed'] as const

/** An outcome of {@link RESOLUTIONS}. */
export type Resolution = (typeof RESOLUTIONS)[number]

/** What a person does to a transaction. */
export type TransactionAct = 'pause' | 'resume' | 'retry' | { readonly resolve: Resolution }

/** How things stand after an act. */
export interface Acted {
  readonly gid: string
  readonly status: Status
  /** False: it was so already, or is being looked at right now. */
  readonly changed: boolean
}

/** An act can lose to relays and clients several times, but each of them takes the transaction further. */
const ROUNDS_MAX = 6

/**
 * Does something to one transaction, and writes into its story who did it and why.
 *
 * @throws `POSTCOMMIT_UNKNOWN_TRANSACTION`, `POSTCOMMIT_TRANSACTION_DECIDED`, `POSTCOMMIT_CANNOT_RESOLVE`.
 */
export async function actOnTransaction(
  client: Queryable,
  key: TransactionKey,
  what: TransactionAct,
  act: Act,
): Promise<Acted> {
  const { gid } = key
  for (let round = 1; ; round += 1) {
    const story = await selectTransaction(client, key)
    if (story === undefined) throw new PostcommitError('POSTCOMMIT_UNKNOWN_TRANSACTION', { gid }, { gid })
    const decision = decideOn(story, what, act)
    if (decision.kind === 'duplicate') return { gid, status: story.status, changed: false }
    if (decision.kind !== 'ok') throw refusal(story, what, decision)
    const status = await carryOut(client, story, decision, act)
    if (status !== undefined) {
      await notifyRelays(client)
      return { gid, status, changed: true }
    }
    // A claimed transaction is being looked at: that is what a retry asks for.
    if (what === 'retry' || round === ROUNDS_MAX) return { gid, status: story.status, changed: false }
  }
}

/** Undefined: somebody else was faster, and things stand otherwise. */
async function carryOut(
  client: Queryable,
  story: TransactionStory,
  decision: Decision & { readonly kind: 'ok' },
  act: Act,
): Promise<Status | undefined> {
  const { tenant, gid, mode, status, key, seq } = story
  const { effect, transition } = decision
  if (transition !== undefined && transition.to !== 'prepared') {
    const move = {
      tenant,
      gid,
      event: 'act',
      // What undoes is decided by what has been done; the rest is not.
      seq: transition.to === 'aborting' ? seq : undefined,
      rollbackReason: 'reason' in transition ? act.reason : undefined,
      act: { ...act, event: 'resolved' },
    } as const
    const moved = await moveTransactions(client, [move], [{ event: 'act', mode, from: status, to: transition.to }])
    const to = moved.get(move)?.status
    if (to !== undefined && key !== null && isFinal(to)) {
      await expediteHeads(client, [{ tenant, key }])
      await expediteFollowersOf(client, [{ tenant, gid }])
    }
    return to
  }
  switch (effect) {
    case 'pause':
      return (await pauseTransaction(client, story, act)) ? status : undefined
    case 'resume':
      return (await resumeTransaction(client, story, act)) ? status : undefined
    case 'make-due':
      return (await expediteTransaction(client, story, act)) ? status : undefined
    default:
      return undefined
  }
}

const OPERATOR_ACTS = {
  pause: 'pause',
  resume: 'resume',
  retry: 'retry-now',
  aborted: 'abort',
  succeed: 'force-succeed',
  failed: 'force-fail',
} as const satisfies Record<string, OperatorAct>

function decideOn(story: TransactionStory, what: TransactionAct, { reason }: Act): Decision {
  const { status, mode, runBy, pausedReason, branches } = story
  const decision = decide(eventOf(what, reason), {
    status,
    mode,
    runBy,
    paused: pausedReason !== null,
    mayTurnBack: mayTurnBack(branches.map(opOf)),
  })
  // A verdict is heard once; said by a person again, it is what it was.
  const isSaidAgain = decision.kind === 'nothing' && mode === 'msg' && status !== 'failed' && status !== 'prepared'
  return isSaidAgain ? { kind: 'duplicate' } : decision
}

function eventOf(what: TransactionAct, reason: string): TransactionEvent {
  if (typeof what === 'string') return { kind: 'operator', act: OPERATOR_ACTS[what], reason }
  if (what.resolve === 'committed') return { kind: 'verdict', verdict: 'committed' }
  return { kind: 'operator', act: OPERATOR_ACTS[what.resolve], reason }
}

function opOf(branch: TransactionStory['branches'][number]): Op {
  const { op, status, recovery, startSeq, calls, attempts } = branch
  return {
    branch: branch.branch,
    op: op as BranchOp,
    status,
    calls,
    attempts,
    dueAtMs: 0,
    ...(recovery !== null && { recovery }),
    ...(startSeq !== null && { startSeq }),
  }
}

function refusal({ gid, mode, status }: TransactionStory, what: TransactionAct, decision: Decision): PostcommitError {
  const isStuck = decision.kind === 'conflict' && decision.code === 'cannot-turn-back'
  if (typeof what === 'object' && (isStuck || !isFinal(status))) {
    const reason = isStuck ? 'what it has done cannot be undone' : `that says nothing about a ${mode} that is ${status}`
    return new PostcommitError('POSTCOMMIT_CANNOT_RESOLVE', { gid, outcome: what.resolve, reason }, { gid })
  }
  return new PostcommitError('POSTCOMMIT_TRANSACTION_DECIDED', { gid, status }, { gid })
}
