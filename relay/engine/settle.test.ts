import { describe, expect, test } from 'vitest'
import type { Outcome } from './outcome.ts'
import { settle } from './settle.ts'

const HALF = 0.5
const patient = { attemptsMax: Number.POSITIVE_INFINITY, backOff: { baseMs: 1000, capMs: 300_000 } }
const threeTimes = { ...patient, attemptsMax: 3 }
const failed: Outcome = { kind: 'failed', error: 'answered 500', status: 500 }

describe('settle', () => {
  test('confirmed', () => {
    expect(settle({ kind: 'confirmed', status: 204 }, 2, patient, HALF)).toEqual({ event: 'confirmed', status: 204 })
  })

  test('refused is dead at once, whatever the policy', () => {
    expect(settle({ kind: 'refused', error: 'answered 410', status: 410 }, 0, patient, HALF)).toEqual({
      event: 'dead',
      error: 'answered 410',
      status: 410,
      attempts: 1,
    })
  })

  test('failed counts and comes back later each time', () => {
    expect(settle(failed, 0, patient, HALF)).toEqual({
      event: 'failed',
      error: 'answered 500',
      status: 500,
      attempts: 1,
      dueInMs: 500,
    })
    expect(settle(failed, 4, patient, HALF)).toMatchObject({ attempts: 5, dueInMs: 8000 })
  })

  test('failed for the last time is dead', () => {
    expect(settle(failed, 1, threeTimes, HALF)).toMatchObject({ event: 'failed', attempts: 2 })
    expect(settle(failed, 2, threeTimes, HALF)).toMatchObject({ event: 'dead', attempts: 3 })
  })

  test('a pause that was asked for is kept, if it is the longer one, up to an hour', () => {
    expect(settle({ ...failed, retryAfterMs: 100 }, 0, patient, HALF)).toMatchObject({ dueInMs: 500 })
    expect(settle({ ...failed, retryAfterMs: 20_000 }, 0, patient, HALF)).toMatchObject({ dueInMs: 20_000 })
    expect(settle({ ...failed, retryAfterMs: 1e12 }, 0, patient, HALF)).toMatchObject({ dueInMs: 3_600_000 })
  })

  test('unavailable burns no attempt and never makes a message dead', () => {
    const away: Outcome = { kind: 'unavailable', error: 'no answer: ECONNREFUSED' }
    expect(settle(away, 2, threeTimes, HALF)).toEqual({
      event: 'unavailable',
      error: 'no answer: ECONNREFUSED',
      status: undefined,
      attempts: 2,
      dueInMs: 750,
    })
    expect(settle({ ...away, retryAfterMs: 0 }, 2, threeTimes, 0)).toMatchObject({ dueInMs: 500 })
    expect(settle({ ...away, retryAfterMs: 30_000 }, 2, threeTimes, HALF)).toMatchObject({ dueInMs: 30_000 })
  })
})
