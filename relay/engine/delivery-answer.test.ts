import { expect, test } from 'vitest'
import type { CallAnswer } from './call-answer.ts'
import { readDeliveryAnswer } from './delivery-answer.ts'

const PATIENCE = { attempts: 0, permanentAttemptsMax: 8 }
const withheld = { kind: 'withheld', error: 'full', withheldBy: 'stream S', dueInMs: 5, sent: true } as const

test.each<[CallAnswer, object]>([
  [
    { kind: 'answered', status: 204, body: undefined },
    { kind: 'confirmed', status: 204 },
  ],
  [
    { kind: 'answered', status: 409, body: undefined, isDuplicate: true },
    { kind: 'confirmed', status: 409 },
  ],
  [
    { kind: 'answered', status: 503, body: undefined, retryAfterMs: 7 },
    { kind: 'unavailable', error: 'answered 503', status: 503, retryAfterMs: 7 },
  ],
  [{ kind: 'done' }, { kind: 'confirmed' }],
  [
    { kind: 'refused', error: 'never' },
    { kind: 'refused', error: 'never' },
  ],
  [
    { kind: 'impossible', error: 'too large', status: 400 },
    { kind: 'refused', error: 'too large', status: 400 },
  ],
  [
    { kind: 'postponed', error: 'later', retryAfterMs: 9 },
    { kind: 'unavailable', error: 'later', retryAfterMs: 9 },
  ],
  [withheld, withheld],
  [
    { kind: 'unanswered', result: 'away', error: 'no', retryAfterMs: 1 },
    { kind: 'unavailable', error: 'no', retryAfterMs: 1 },
  ],
  [
    { kind: 'unanswered', result: 'failed', error: 'late' },
    { kind: 'failed', error: 'late' },
  ],
])('%j', (answer, outcome) => {
  expect(readDeliveryAnswer(answer, PATIENCE)).toEqual(outcome)
})

test('an answer of 4xx is judged by what came before', () => {
  const answer = { kind: 'answered', status: 422, body: undefined } as const
  expect(readDeliveryAnswer(answer, { attempts: 6, permanentAttemptsMax: 8 })).toMatchObject({ kind: 'failed' })
  expect(readDeliveryAnswer(answer, { attempts: 7, permanentAttemptsMax: 8 })).toMatchObject({ kind: 'refused' })
})
