import fc from 'fast-check'
import { expect, test } from 'vitest'
import { pauseMs } from './back-off.ts'

const backOff = fc.record({
  baseMs: fc.integer({ min: 1, max: 60_000 }),
  capMs: fc.integer({ min: 1, max: 3_600_000 }),
})
const failures = fc.integer({ min: 1, max: 1_000_000 })

test('a pause is never negative and never above the cap or its exponential', () => {
  fc.assert(
    fc.property(backOff, failures, fc.double({ min: 0, max: 0.999999, noNaN: true }), (rules, n, random) => {
      const ms = pauseMs(rules, n, random)
      expect(ms).toBeGreaterThanOrEqual(0)
      expect(ms).toBeLessThanOrEqual(Math.min(rules.capMs, rules.baseMs * 2 ** Math.min(n - 1, 52)))
    }),
  )
})

test('the longest pause does not shrink as failures go on', () => {
  fc.assert(
    fc.property(backOff, failures, (rules, n) => {
      expect(pauseMs(rules, n + 1, 1)).toBeGreaterThanOrEqual(pauseMs(rules, n, 1))
    }),
  )
})
