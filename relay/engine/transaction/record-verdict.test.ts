import { describe, expect, test } from 'vitest'
import { type CheckOutcome, recordVerdict } from './record-verdict.ts'
import type { Message } from './transaction.ts'

const backOff = { baseMs: 1000, capMs: 60_000 }
const message: Message = { gid: 'g', mode: 'msg', status: 'prepared', dueAtMs: 0, backOff, ongoingMs: 2000 }

function asked(outcome: CheckOutcome, checks = 0, status: Message['status'] = 'prepared') {
  return recordVerdict({ ...message, status }, outcome, checks, 100, 0)
}

describe('recordVerdict', () => {
  test('a verdict decides', () => {
    expect(asked('committed')).toEqual({ kind: 'decided', transition: { from: 'prepared', to: 'submitted' } })
    expect(asked('aborted')).toEqual({
      kind: 'decided',
      transition: { from: 'prepared', to: 'failed', reason: { kind: 'rolled-back' } },
    })
  })

  test('nothing else does, however often it is answered', () => {
    for (const outcome of ['in_progress', 'unknown', 'unreachable'] as const) {
      for (const checks of [0, 5, 1_000_000]) expect(asked(outcome, checks).kind).toBe('undecided')
    }
  })

  test('an open transaction is asked about after the fixed pause', () => {
    expect(asked('in_progress')).toEqual({ kind: 'undecided', checks: 1, dueAtMs: 2100, comesIntoDoubt: false })
  })

  test('answers that decide nothing are counted, and a message comes into doubt by too many of them, once', () => {
    expect(asked('unknown', 3)).toMatchObject({ checks: 4, comesIntoDoubt: false })
    expect(asked('unknown', 4)).toMatchObject({ checks: 5, comesIntoDoubt: true })
    expect(asked('unreachable', 5)).toMatchObject({ checks: 5, comesIntoDoubt: false })
    expect(asked('unknown', 5)).toMatchObject({ checks: 6, comesIntoDoubt: false })
  })

  test('a sender that is away has said nothing', () => {
    expect(asked('unreachable', 3)).toMatchObject({ checks: 3, comesIntoDoubt: false })
  })

  test('the pause doubles with every answer that decides nothing, from the first one on', () => {
    for (const [checks, pauseMs] of [
      [0, 1000],
      [1, 2000],
      [2, 4000],
    ] as const) {
      expect(recordVerdict(message, 'unknown', checks, 0, 1)).toMatchObject({ dueAtMs: pauseMs })
    }
    expect(recordVerdict(message, 'unreachable', 0, 0, 1)).toMatchObject({ dueAtMs: 1000 })
  })

  test('the pause is never nothing and never beyond the cap', () => {
    expect(asked('unknown')).toMatchObject({ dueAtMs: 600 })
    expect(recordVerdict(message, 'unknown', 1000, 0, 0.999)).toMatchObject({ dueAtMs: 59_940 })
  })

  test('a verdict that comes too late changes nothing, and one that contradicts is an alarm', () => {
    expect(asked('committed', 0, 'submitted')).toEqual({ kind: 'late' })
    expect(asked('aborted', 0, 'failed')).toEqual({ kind: 'late' })
    expect(asked('unknown', 0, 'succeed')).toEqual({ kind: 'late' })
    expect(asked('committed', 0, 'failed')).toEqual({ kind: 'late', alarm: 'committed-after-failed' })
    expect(asked('aborted', 0, 'submitted')).toEqual({ kind: 'late', alarm: 'rolled-back-after-submitted' })
    expect(asked('aborted', 0, 'succeed')).toEqual({ kind: 'late', alarm: 'rolled-back-after-submitted' })
  })
})
