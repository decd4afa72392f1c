import { describe, expect, test } from 'vitest'
import { callableAtMs, isUnderWay, mayHaveRun, type Op } from './op.ts'
import { mayTurnBack } from './turning-back.ts'

function action(more: Partial<Op> = {}): Op {
  return { branch: 'a', op: 'action', status: 'prepared', calls: 0, attempts: 0, dueAtMs: 50, ...more }
}

test('an op is under way until its lease ends or its outcome is known', () => {
  expect(isUnderWay(action(), 100)).toBe(false)
  expect(isUnderWay(action({ leaseUntilMs: 101 }), 100)).toBe(true)
  expect(isUnderWay(action({ leaseUntilMs: 100 }), 100)).toBe(false)
  expect(isUnderWay(action({ leaseUntilMs: 101, status: 'succeed' }), 100)).toBe(false)
  expect(callableAtMs(action())).toBe(50)
  expect(callableAtMs(action({ leaseUntilMs: 70 }))).toBe(70)
})

test('what was started may have run, whatever is known of it', () => {
  expect(mayHaveRun(action())).toBe(false)
  expect(mayHaveRun(action({ startSeq: 0 }))).toBe(true)
})

describe('points of no return', () => {
  test('there is no way back past a pivot, nor while it is not known whether it succeeded', () => {
    const pivot = (more: Partial<Op>) => mayTurnBack([action({ recovery: 'pivot', ...more })])
    expect(pivot({})).toBe(true)
    expect(pivot({ startSeq: 1 })).toBe(false)
    expect(pivot({ startSeq: 1, status: 'succeed' })).toBe(false)
    expect(pivot({ startSeq: 1, status: 'failed' })).toBe(true)
  })

  test('nor past a step that can only be repeated, unless it can be undone as well', () => {
    const forward = action({ recovery: 'forward', startSeq: 1 })
    expect(mayTurnBack([forward])).toBe(false)
    expect(mayTurnBack([forward, { ...action(), op: 'compensate' }])).toBe(true)
    expect(mayTurnBack([forward, { ...action(), branch: 'b', op: 'compensate' }])).toBe(false)
  })
})
