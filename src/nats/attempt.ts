import type { PayloadOptions } from '../http/read-payload.ts'
import { saysDuplicate } from '../inbox/inbox.ts'
import { PostcommitError } from '../protocol/errors.ts'
import { DeliveryPostponed, DeliveryRefused } from '../protocol/refusal.ts'
import { type BackOff, pauseMs } from './back-off.ts'
import type { NatsMessage } from './nats-connection.ts'
import { readDelivery, type SubscribedDelivery } from './read-delivery.ts'

/** What became of one attempt to handle a message. */
export type Outcome =
  | { readonly kind: 'handled'; readonly duplicate: boolean }
  /** `hopeless`: trying again cannot help. */
  | { readonly kind: 'failed'; readonly error: unknown; readonly hopeless: boolean }
  | { readonly kind: 'postponed'; readonly error: unknown; readonly afterMs: number }

const HOPELESS: ReadonlySet<string> = new Set([
  'POSTCOMMIT_INVALID_DELIVERY',
  'POSTCOMMIT_DELIVERY_MISMATCH',
  'POSTCOMMIT_INBOX_ID_REUSED',
])

const IN_PROGRESS_MS = 1000

/** Reads a message and has it handled. Never rejects. */
export async function attemptMessage<Payload>(
  payload: PayloadOptions<Payload>,
  handle: (delivery: SubscribedDelivery<Payload>) => unknown,
  message: NatsMessage,
  attempt: number,
): Promise<Outcome> {
  try {
    return { kind: 'handled', duplicate: saysDuplicate(await handle(await readDelivery(payload, message, attempt))) }
  } catch (error) {
    if (error instanceof DeliveryPostponed) return { kind: 'postponed', error, afterMs: error.retryAfterMs }
    // Not the message's fault, and its turn may come at any moment.
    if (error instanceof PostcommitError && error.code === 'POSTCOMMIT_INBOX_IN_PROGRESS') {
      return { kind: 'postponed', error, afterMs: IN_PROGRESS_MS }
    }
    const hopeless = error instanceof PostcommitError && HOPELESS.has(error.code)
    return { kind: 'failed', error, hopeless: hopeless || error instanceof DeliveryRefused }
  }
}

/** What to do with a message after an attempt. */
export type NextStep =
  | { readonly kind: 'settle' }
  | { readonly kind: 'bury'; readonly error: unknown }
  | { readonly kind: 'put-off'; readonly error: unknown; readonly afterMs: number; readonly failed: boolean }

/** The rules of {@link nextStep}. */
export interface RetryRules {
  readonly attemptsMax: number
  readonly backOff: BackOff
  readonly hasDeadLetter: boolean
}

/**
 * Decides what follows an attempt.
 * @param attempt - the attempt it was, from 1
 * @param random - in [0, 1)
 */
export function nextStep(outcome: Outcome, attempt: number, rules: RetryRules, random: number): NextStep {
  switch (outcome.kind) {
    case 'handled':
      return { kind: 'settle' }
    case 'postponed':
      return { kind: 'put-off', error: outcome.error, afterMs: outcome.afterMs, failed: false }
    case 'failed': {
      const { error, hopeless } = outcome
      if (rules.hasDeadLetter && (hopeless || attempt >= rules.attemptsMax)) return { kind: 'bury', error }
      // Nothing is given up without a place to put it: a hopeless message waits for a new version of the consumer.
      const afterMs = hopeless ? rules.backOff.capMs : pauseMs(rules.backOff, attempt, random)
      return { kind: 'put-off', error, afterMs, failed: true }
    }
  }
}
