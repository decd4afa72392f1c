import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { backOffMs } from './retry.ts'

const random = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })
const backOff = fc.record({
  baseMs: fc.integer({ min: 1, max: 3_600_000 }),
  capMs: fc.integer({ min: 1, max: 86_400_000 }),
})
const attempts = fc.integer({ min: 1, max: 1_000_000 })

describe('backOffMs', () => {
  test('is a whole number of milliseconds from nothing to the cap, after any number of attempts', () => {
    fc.assert(
      fc.property(backOff, attempts, random, (policy, failed, chance) => {
        const ms = backOffMs(policy, failed, chance)
        expect(Number.isInteger(ms)).toBe(true)
        expect(ms).toBeGreaterThanOrEqual(0)
        expect(ms).toBeLessThanOrEqual(policy.capMs)
      }),
    )
  })

  test('the ceiling doubles until it is capped', () => {
    fc.assert(
      fc.property(backOff, fc.integer({ min: 1, max: 40 }), (policy, failed) => {
        const ceiling = (n: number) => backOffMs(policy, n, 1)
        expect(ceiling(1)).toBe(Math.min(policy.baseMs, policy.capMs))
        expect(ceiling(failed + 1)).toBe(Math.min(policy.capMs, policy.baseMs * 2 ** failed))
      }),
    )
  })

  test('the jitter is full: the whole range is used, evenly', () => {
    const policy = { baseMs: 1000, capMs: 300_000 }
    expect(backOffMs(policy, 3, 0)).toBe(0)
    expect(backOffMs(policy, 3, 0.5)).toBe(2000)
    expect(backOffMs(policy, 3, 0.9999)).toBe(4000)
  })

  test('without a cap it stays within what PostgreSQL can add to a time', () => {
    expect(backOffMs({ baseMs: 1000, capMs: Number.POSITIVE_INFINITY }, 1_000_000, 0.9999)).toBeLessThan(2 ** 31 * 1000)
  })
})
