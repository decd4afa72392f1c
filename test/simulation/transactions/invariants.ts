import type { Op } from '../../../relay/engine/transaction/op.ts'
import type { Branches } from './branches.ts'
import type { Told } from './initiator.ts'
import type { LocalTransaction } from './local-transaction.ts'
import type { Scenario } from './scenario.ts'
import type { Store } from './store.ts'

/** A broken promise: its number and what happened. */
export interface Violation {
  readonly invariant: 'I1' | 'I2' | 'I3' | 'I4' | 'I5' | 'I6' | 'I7' | 'I8'
  readonly what: string
}

/** The longest that anything may sleep here: the longest pause of a destination that is away, and something for a claim. */
const HORIZON_MS = 60_000

/** What holds at any time: I6, I7, I8. */
export function whatIsWrongNow(scenario: Scenario, store: Store, branches: Branches): Violation | undefined {
  const { rows } = store
  if (branches.payloads.size > 1) return { invariant: 'I6', what: `ran ${[...branches.payloads].join(' and ')}` }
  if (rows === undefined) return undefined
  if (store.isOpen && rows.transaction.paused !== true) {
    const inMs = store.dueAtMs - store.nowMs
    // A time that is none, NaN, is no time at which anything happens.
    if (!(inMs <= HORIZON_MS)) {
      return { invariant: 'I7', what: `sleeps for ${inMs} ms` }
    }
  }
  if (scenario.kind === 'live-saga') return pairViolation(PAIRS.client, store, branches)
  return scenario.kind === 'saga' ? pairViolation(PAIRS.relay, store, branches) : undefined
}

/** What a branch is to seadt. Registered is what has been begun. */
export type Pair = 'unregistered' | 'prepared' | 'confirmed' | 'canceled'

/**
 * seadt's table of which state of a branch may occur beside which of its transaction (D6), for sagas that their client
 * runs; and what it comes to where the relay does: then what seadt calls prepared is submitted already, and branches
 * that were never begun are there to the end.
 */
export const PAIRS: { readonly [RunBy in 'client' | 'relay']: { readonly [P in Pair]: readonly string[] } } = {
  client: {
    unregistered: ['prepared', 'aborting'],
    prepared: ['prepared', 'aborting'],
    confirmed: ['submitted', 'succeed', 'aborting'],
    canceled: ['aborting', 'failed'],
  },
  relay: {
    unregistered: ['submitted', 'aborting', 'failed'],
    prepared: ['submitted', 'aborting'],
    confirmed: ['submitted', 'succeed', 'aborting'],
    canceled: ['aborting', 'failed'],
  },
}

function pairViolation(pairs: typeof PAIRS.client, { rows, status }: Store, branches: Branches): Violation | undefined {
  const ops = rows?.ops ?? []
  for (const action of ops) {
    if (action.op !== 'action') continue
    const { branch } = action
    const undo = ops.find((other) => other.branch === branch && other.op === 'compensate')
    // In seadt there are no steps without a way back.
    if (undo === undefined) continue
    const pair = pairOf(action, undo)
    if (!pairs[pair].includes(status)) return { invariant: 'I8', what: `${branch} is ${pair} while ${status}` }
  }
  for (const [branch, { forward }] of branches.effects) {
    const isUnregistered = forward > 0 && !ops.some((op) => op.branch === branch)
    if (isUnregistered && !pairs.unregistered.includes(status)) {
      return { invariant: 'I8', what: `${branch} has run without being registered while ${status}` }
    }
  }
  return undefined
}

function pairOf({ status, startSeq }: Op, undo: Op): Pair {
  if (undo.status === 'succeed') return 'canceled'
  if (status === 'succeed') return 'confirmed'
  return startSeq === undefined ? 'unregistered' : 'prepared'
}

/** What holds in the end: I1, I2, I5, I6, and that there is an end at all (I7). */
export function whatIsWrongInTheEnd(
  scenario: Scenario,
  store: Store,
  branches: Branches,
  local: LocalTransaction,
  told: readonly Told[],
): Violation | undefined {
  if (store.isOpen) return { invariant: 'I7', what: `still ${store.status} when everything had calmed down` }
  return effectsViolation(scenario, store, branches) ?? decisionViolation(scenario, store, local, told)
}

function effectsViolation(scenario: Scenario, { status }: Store, branches: Branches): Violation | undefined {
  const isConfirmed = scenario.kind === 'tcc' || scenario.kind === 'xa'
  for (const [branch, { forward, undone, confirmed }] of branches.effects) {
    const seen = `${branch}: forward ${forward}, undone ${undone}, confirmed ${confirmed} when ${status}`
    if (status === 'succeed') {
      const isOnce = forward === 1 && undone === 0 && confirmed === (isConfirmed ? 1 : 0)
      if (!isOnce) return { invariant: 'I1', what: seen }
    } else if (forward !== undone || confirmed !== 0 || forward > 1) {
      return { invariant: 'I2', what: seen }
    }
  }
  return undefined
}

function decisionViolation(
  { kind }: Scenario,
  { status, rows }: Store,
  local: LocalTransaction,
  told: readonly Told[],
): Violation | undefined {
  if (kind === 'msg' && (local.state === 'committed') !== (status === 'succeed')) {
    return { invariant: 'I5', what: `the local transaction is ${local.state}, the message ${status}` }
  }
  for (const { digest, answer } of told) {
    const isAccepted = answer === 'ok' || answer === 'duplicate'
    if (isAccepted && digest !== rows?.payload)
      return { invariant: 'I6', what: `accepted ${digest}, ran ${rows?.payload}` }
    if (kind !== 'saga' && isAccepted !== (status === 'succeed')) {
      return { invariant: 'I5', what: `the initiator was told ${answer}, and it ${status}` }
    }
  }
  return undefined
}
