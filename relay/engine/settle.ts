import type { BackOff, Outcome } from './outcome.ts'
import { backOffMs } from './retry.ts'

/** What is decided about a delivery after an attempt. */
export type Settlement =
  | { readonly event: 'confirmed'; readonly status: number | undefined }
  | {
      /** `withheld`: it was not even sent, because its subject or stream is known to take nothing. */
      readonly event: 'failed' | 'unavailable' | 'withheld'
      readonly error: string
      readonly status: number | undefined
      /** Attempts burnt so far, this one included if it counts. */
      readonly attempts: number
      readonly dueInMs: number
      /** The subject or stream for which it waits. */
      readonly withheldBy?: string
    }
  | { readonly event: 'dead'; readonly error: string; readonly status: number | undefined; readonly attempts: number }

/** How often a destination is tried. */
export interface RetryPolicy {
  /** After how many failed attempts a message is dead; Infinity: never. */
  readonly attemptsMax: number
  readonly backOff: BackOff
}

const UNAVAILABLE_PAUSE_MS = 1000
const RETRY_AFTER_CAP_MS = 3_600_000

/**
 * Decides what becomes of a delivery. An attempt counts only if the destination has said something about this message;
 * that it is away, or asked for a pause, says nothing.
 *
 * @param attempts - how many have failed before
 * @param random - a number in [0, 1)
 */
export function settle(outcome: Outcome, attempts: number, policy: RetryPolicy, random: number): Settlement {
  const { status } = outcome
  switch (outcome.kind) {
    case 'confirmed':
      return { event: 'confirmed', status }
    case 'refused':
      return { event: 'dead', error: outcome.error, status, attempts: attempts + 1 }
    case 'failed': {
      const failed = attempts + 1
      if (failed >= policy.attemptsMax) return { event: 'dead', error: outcome.error, status, attempts: failed }
      const dueInMs = Math.max(backOffMs(policy.backOff, failed, random), pauseAskedMs(outcome.retryAfterMs))
      return { event: 'failed', error: outcome.error, status, attempts: failed, dueInMs }
    }
    case 'withheld': {
      const { error, withheldBy, dueInMs, sent } = outcome
      return { event: sent ? 'unavailable' : 'withheld', error, status, attempts, dueInMs, withheldBy }
    }
    case 'unavailable': {
      // Never at once, whatever was asked for: it is the breaker that sets the pace, and it counts calls, not rows.
      const pauseMs = Math.round(UNAVAILABLE_PAUSE_MS * (0.5 + random / 2))
      const dueInMs = Math.max(pauseMs, pauseAskedMs(outcome.retryAfterMs))
      return { event: 'unavailable', error: outcome.error, status, attempts, dueInMs }
    }
  }
}

function pauseAskedMs(retryAfterMs = 0): number {
  return Math.round(Math.min(RETRY_AFTER_CAP_MS, Math.max(0, retryAfterMs)))
}
