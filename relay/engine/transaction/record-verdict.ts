import { backOffMs } from '../retry.ts'
import { decide } from './decide.ts'
import type { Alarm, BackQueryAnswer } from './event.ts'
import type { Message } from './transaction.ts'
import type { Transition } from './transition.ts'

/** What a back-query came to: a verdict, or nobody there to give one. */
export type CheckOutcome = BackQueryAnswer | 'unreachable'

/** What is to be written about a prepared message after it was asked about. */
export type CheckChange =
  | { readonly kind: 'decided'; readonly transition: Transition }
  | {
      readonly kind: 'undecided'
      readonly checks: number
      readonly dueAtMs: number
      /** By this very answer, so that it is logged once. */
      readonly comesIntoDoubt: boolean
    }
  /** It had been decided meanwhile, the same way or the other. */
  | { readonly kind: 'late'; readonly alarm?: Alarm }

/** After so many answers that decide nothing a message is shown to people. It is asked about all the same. */
const IN_DOUBT_AFTER = 5

/**
 * What a back-query does to a prepared message. Only a verdict decides; time never does, and nothing is discarded. A
 * sender that cannot be reached has said nothing, so that is not counted: its ten thousand messages would all be in
 * doubt after a night. One whose transaction is still open is asked again after the fixed pause.
 *
 * @param checks - answers so far that decided nothing
 * @param random - a number in [0, 1)
 */
export function recordVerdict(
  message: Message,
  outcome: CheckOutcome,
  checks: number,
  nowMs: number,
  random: number,
): CheckChange {
  if (outcome !== 'unreachable') {
    const decision = decide({ kind: 'verdict', verdict: outcome }, { ...message, mayTurnBack: false })
    if (decision.kind === 'alarm') return { kind: 'late', alarm: decision.alarm }
    if (decision.kind === 'ok' && decision.transition !== undefined) {
      return { kind: 'decided', transition: decision.transition }
    }
    if (decision.kind !== 'ok') return { kind: 'late' }
  }
  const counted = outcome === 'unreachable' ? checks : checks + 1
  // Half of it at least: an open transaction holds a lock that a question with a tombstone has to wait for.
  const pauseMs =
    outcome === 'in_progress'
      ? message.ongoingMs
      : Math.max(message.backOff.baseMs / 2, backOffMs(message.backOff, Math.max(1, counted), random))
  return {
    kind: 'undecided',
    checks: counted,
    dueAtMs: nowMs + Math.round(Math.min(pauseMs, Math.max(message.backOff.capMs, message.ongoingMs))),
    comesIntoDoubt: counted === IN_DOUBT_AFTER && counted > checks,
  }
}
