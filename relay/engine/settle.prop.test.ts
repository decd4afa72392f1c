import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Outcome } from './outcome.ts'
import { settle } from './settle.ts'

const error = fc.string()
const status = fc.integer({ min: 100, max: 599 })
const retryAfterMs = fc.oneof(fc.integer(), fc.double({ noNaN: true }))
const outcome: fc.Arbitrary<Outcome> = fc.oneof(
  fc.record({ kind: fc.constant('confirmed' as const) }, { requiredKeys: ['kind'] }),
  fc.record({ kind: fc.constant('refused' as const), error, status }, { requiredKeys: ['kind', 'error'] }),
  fc.record({ kind: fc.constant('failed' as const), error, status, retryAfterMs }, { requiredKeys: ['kind', 'error'] }),
  fc.record(
    { kind: fc.constant('unavailable' as const), error, status, retryAfterMs },
    { requiredKeys: ['kind', 'error'] },
  ),
)
const policy = fc.record({
  attemptsMax: fc.oneof(fc.integer({ min: 1, max: 1_000_000 }), fc.constant(Number.POSITIVE_INFINITY)),
  backOff: fc.record({
    baseMs: fc.integer({ min: 1, max: 1e9 }),
    capMs: fc.oneof(fc.integer({ min: 1 }), fc.constant(Number.POSITIVE_INFINITY)),
  }),
})
const attempts = fc.nat({ max: 1_000_000 })
const random = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })

describe('settle', () => {
  test('nothing is lost: only a confirmation confirms, everything else is due again or waits for a person', () => {
    fc.assert(
      fc.property(outcome, attempts, policy, random, (happened, before, rules, chance) => {
        const settlement = settle(happened, before, rules, chance)
        expect(settlement.event === 'confirmed').toBe(happened.kind === 'confirmed')
        if (settlement.event === 'failed' || settlement.event === 'unavailable') {
          expect(Number.isInteger(settlement.dueInMs)).toBe(true)
          expect(settlement.dueInMs).toBeGreaterThanOrEqual(0)
          expect(settlement.dueInMs).toBeLessThanOrEqual(366 * 86_400_000)
        }
      }),
    )
  })

  test('attempts count failures, and only they make a message dead by number', () => {
    fc.assert(
      fc.property(outcome, attempts, policy, random, (happened, before, rules, chance) => {
        const settlement = settle(happened, before, rules, chance)
        if (settlement.event === 'confirmed') return
        expect(settlement.attempts).toBe(before + (happened.kind === 'unavailable' ? 0 : 1))
        const spent = happened.kind === 'failed' && before + 1 >= rules.attemptsMax
        expect(settlement.event === 'dead').toBe(happened.kind === 'refused' || spent)
      }),
    )
  })
})
