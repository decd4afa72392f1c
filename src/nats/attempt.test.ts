import { describe, expect, test } from 'vitest'
import { nextStep, type Outcome } from './attempt.ts'

const rules = { attemptsMax: 3, backOff: { baseMs: 100, capMs: 1000 }, hasDeadLetter: true }
const error = new Error('no')
const failed: Outcome = { kind: 'failed', error, hopeless: false }
const hopeless: Outcome = { kind: 'failed', error, hopeless: true }

describe('nextStep', () => {
  test('a handled message is settled', () => {
    expect(nextStep({ kind: 'handled', duplicate: true }, 1, rules, 0.5)).toEqual({ kind: 'settle' })
  })

  test('a failure is tried again after a pause, and is a dead letter after the last attempt', () => {
    expect(nextStep(failed, 2, rules, 0.5)).toEqual({ kind: 'put-off', error, afterMs: 100, failed: true })
    expect(nextStep(failed, 3, rules, 0.5)).toEqual({ kind: 'bury', error })
  })

  test('a hopeless one is a dead letter at once', () => {
    expect(nextStep(hopeless, 1, rules, 0.5)).toEqual({ kind: 'bury', error })
  })

  test('without a dead letter subject nothing is given up', () => {
    const without = { ...rules, hasDeadLetter: false }
    expect(nextStep(failed, 1000, without, 0.5)).toMatchObject({ kind: 'put-off', afterMs: 500 })
    expect(nextStep(hopeless, 1, without, 0)).toMatchObject({ kind: 'put-off', afterMs: 1000 })
  })

  test('a postponed message waits as long as it asked and burns no attempt', () => {
    const step = nextStep({ kind: 'postponed', error, afterMs: 5000 }, 3, rules, 0.5)
    expect(step).toEqual({ kind: 'put-off', error, afterMs: 5000, failed: false })
  })
})
