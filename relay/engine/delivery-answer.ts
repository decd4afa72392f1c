import type { CallAnswer } from './call-answer.ts'
import { readHttpAnswer } from './http-outcome.ts'
import type { Outcome } from './outcome.ts'

/** What an answer of 4xx is judged by. */
export interface Patience {
  /** Failed attempts before this one. */
  readonly attempts: number
  /** After how many answers of 4xx a message is dead. */
  readonly permanentAttemptsMax: number
}

/** What an answer means for a message that was delivered. */
export function readDeliveryAnswer(answer: CallAnswer, patience: Patience): Outcome {
  switch (answer.kind) {
    case 'answered':
      return readHttpAnswer({ ...answer, ...patience })
    case 'done':
      return { kind: 'confirmed' }
    case 'refused':
      return { kind: 'refused', error: answer.error }
    case 'impossible':
      return { kind: 'refused', error: answer.error, ...(answer.status !== undefined && { status: answer.status }) }
    case 'postponed':
      return { kind: 'unavailable', error: answer.error, retryAfterMs: answer.retryAfterMs }
    case 'withheld':
      return answer
    case 'unanswered': {
      const { error, retryAfterMs } = answer
      const kind = answer.result === 'away' ? 'unavailable' : 'failed'
      return { kind, error, ...(retryAfterMs !== undefined && { retryAfterMs }) }
    }
  }
}
