import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Op } from './op.ts'
import { type CallOutcome, recordOutcome } from './record-outcome.ts'

const backOff = { baseMs: 1000, capMs: 60_000 }
const rules = { mode: 'saga', backOff, ongoingMs: 2000 } as const

function op(name: Op['op'], more: Partial<Op> = {}): Op {
  return { branch: 'a', op: name, status: 'prepared', calls: 1, attempts: 0, dueAtMs: 0, startSeq: 1, ...more }
}

const failure: CallOutcome = { kind: 'failure', error: 'no stock' }

describe('recordOutcome', () => {
  test('done is final, and the end of an action is numbered', () => {
    expect(recordOutcome(rules, op('action'), { kind: 'done' }, 100, 0)).toEqual({
      status: 'succeed',
      takesEndSeq: true,
    })
    const undone = recordOutcome(rules, op('compensate'), { kind: 'done' }, 100, 0)
    expect(undone).toEqual({ status: 'succeed', takesEndSeq: false })
  })

  test('Failure counts where there is another way', () => {
    const failed = { status: 'failed', takesEndSeq: true, error: 'no stock' }
    expect(recordOutcome(rules, op('action'), failure, 100, 0)).toEqual(failed)
    expect(recordOutcome(rules, op('action', { recovery: 'pivot' }), failure, 100, 0)).toEqual(failed)
    expect(recordOutcome({ ...rules, mode: 'tcc' }, op('try'), failure, 100, 0)).toEqual(failed)
  })

  test('what has been decided cannot fail; it is repeated, and somebody is told', () => {
    const decided = (['compensate', 'confirm', 'cancel', 'commit', 'rollback'] as const).map((name) => op(name))
    for (const one of [...decided, op('action', { recovery: 'forward' })]) {
      expect(recordOutcome(rules, one, failure, 100, 0.5)).toEqual({
        status: 'prepared',
        attempts: 1,
        dueAtMs: 600,
        error: 'no stock',
        refusedDecision: true,
      })
    }
    expect(recordOutcome({ ...rules, mode: 'msg' }, op('action'), failure, 100, 0)).toMatchObject({
      status: 'prepared',
    })
  })

  test('Ongoing comes back after the fixed pause and counts for nothing', () => {
    const change = recordOutcome(rules, op('action', { attempts: 7 }), { kind: 'ongoing' }, 100, 0.9)
    expect(change).toEqual({ status: 'prepared', attempts: 7, dueAtMs: 2100 })
  })

  test('anything else comes back later and later, and not before it was asked to', () => {
    const retry = (attempts: number, retryAfterMs?: number) =>
      recordOutcome(
        rules,
        op('action', { attempts }),
        { kind: 'retry', error: 'e', ...(retryAfterMs !== undefined && { retryAfterMs }) },
        0,
        0.5,
      )
    expect(retry(0)).toEqual({ status: 'prepared', attempts: 1, error: 'e', dueAtMs: 500 })
    expect(retry(3)).toMatchObject({ attempts: 4, dueAtMs: 4000 })
    expect(retry(0, 9000)).toMatchObject({ dueAtMs: 9000 })
    expect(retry(0, 1e12)).toMatchObject({ dueAtMs: 3_600_000 })
  })

  test('the first result stands, and a second one that says otherwise is told', () => {
    const again = (status: Op['status'], outcome: CallOutcome) =>
      recordOutcome(rules, op('action', { status }), outcome, 100, 0)
    expect(again('succeed', { kind: 'done' })).toEqual({ status: 'unchanged', contradicts: false })
    expect(again('succeed', failure)).toEqual({ status: 'unchanged', contradicts: true })
    expect(again('failed', { kind: 'done' })).toEqual({ status: 'unchanged', contradicts: true })
    expect(again('failed', { kind: 'retry', error: 'e' })).toEqual({ status: 'unchanged', contradicts: false })
  })

  test('whatever is not final is due again, at a time that can be stored', () => {
    const outcome = fc.oneof(
      fc.constant<CallOutcome>({ kind: 'ongoing' }),
      fc.constant(failure),
      fc.record({ kind: fc.constant('retry' as const), error: fc.string(), retryAfterMs: fc.double({ noNaN: true }) }),
    )
    const chance = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })
    fc.assert(
      fc.property(outcome, fc.nat(), chance, (happened, attempts, random) => {
        const change = recordOutcome(rules, op('compensate', { attempts }), happened, 1000, random)
        expect(change.status).toBe('prepared')
        if (change.status !== 'prepared') return
        expect(Number.isInteger(change.dueAtMs)).toBe(true)
        expect(change.dueAtMs).toBeGreaterThanOrEqual(1000)
        expect(change.dueAtMs).toBeLessThanOrEqual(1000 + 3_600_000)
      }),
    )
  })
})
