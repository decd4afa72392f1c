import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Breaker } from './breaker.ts'

const random = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })
const step = fc.record({
  result: fc.constantFrom('ok', 'failed', 'away', 'reached'),
  afterMs: fc.integer({ min: 0, max: 100_000 }),
  random,
})

describe('Breaker', () => {
  test('whatever happens: it is never silent for more than a minute, and one good probe is enough', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
        const breaker = new Breaker()
        let nowMs = 0
        for (const { result, afterMs, random: chance } of steps) {
          nowMs += afterMs
          const allowed = breaker.allow(32, nowMs)
          expect(allowed).toBe({ closed: 32, 'half-open': 1, open: 0 }[breaker.state])
          if (allowed > 0) breaker.record(result, nowMs, chance)
          if (breaker.state === 'open') expect(breaker.reopensInMs(nowMs)).toBeLessThanOrEqual(60_000)
        }
        nowMs += 60_000
        expect(breaker.allow(32, nowMs)).toBeGreaterThan(0)
        if (breaker.state === 'half-open') breaker.record('ok', nowMs, 0)
        expect(breaker.state).toBe('closed')
      }),
    )
  })

  test('a destination that always works is never kept from being called', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 60_000 }), { maxLength: 300 }), (gaps) => {
        const breaker = new Breaker()
        let nowMs = 0
        for (const gap of gaps) {
          nowMs += gap
          expect(breaker.allow(7, nowMs)).toBe(7)
          breaker.record('ok', nowMs, 0)
        }
      }),
    )
  })

  test('a call that ends while it is open changes nothing', () => {
    fc.assert(
      fc.property(fc.array(step), (late) => {
        const breaker = new Breaker()
        for (let n = 0; n < 5; n += 1) breaker.record('away', 0, 0.5)
        const reopensInMs = breaker.reopensInMs(0)
        for (const { result, random: chance } of late) breaker.record(result, 1, chance)
        expect(breaker.reopensInMs(0)).toBe(reopensInMs)
      }),
    )
  })
})
