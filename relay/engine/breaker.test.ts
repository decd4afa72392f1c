import { describe, expect, test } from 'vitest'
import { Breaker, type CallResult } from './breaker.ts'

const SLOTS = 32
const HALF = 0.5

function after(results: readonly CallResult[], everyMs = 1): { breaker: Breaker; nowMs: number } {
  const breaker = new Breaker()
  results.forEach((result, n) => {
    breaker.record(result, n * everyMs, HALF)
  })
  return { breaker, nowMs: results.length * everyMs }
}

const times = (n: number, result: CallResult): CallResult[] => Array.from({ length: n }, () => result)

describe('Breaker', () => {
  test('five calls in a row that find nobody open it', () => {
    expect(after(times(4, 'away')).breaker.state).toBe('closed')
    expect(after(times(5, 'away')).breaker.state).toBe('open')
    expect(after([...times(4, 'away'), 'ok', ...times(4, 'away')]).breaker.state).toBe('closed')
  })

  test('half of twenty calls that fail open it, nineteen are too few to judge', () => {
    expect(after([...times(10, 'ok'), ...times(9, 'failed')]).breaker.state).toBe('closed')
    expect(after([...times(10, 'ok'), ...times(10, 'failed')]).breaker.state).toBe('open')
    expect(after([...times(11, 'ok'), ...times(9, 'failed')]).breaker.state).toBe('closed')
  })

  test('failures that are spread over more than the window do not add up', () => {
    const spread = Array.from({ length: 200 }, (_, n): CallResult => (n % 3 === 0 ? 'failed' : 'ok'))
    expect(after(spread, 4000).breaker.state).toBe('closed')
  })

  test('a destination that did well a thousand times and then fails is not called a thousand times more', () => {
    expect(after([...times(1000, 'ok'), ...times(19, 'failed')]).breaker.state).toBe('closed')
    expect(after([...times(1000, 'ok'), ...times(20, 'failed')]).breaker.state).toBe('open')
  })

  test('one message that fails every few minutes, and nothing else, does not open it', () => {
    expect(after(times(100, 'failed'), 120_000).breaker.state).toBe('closed')
  })

  test('open: nothing; then one call at a time; a good one closes it', () => {
    const { breaker, nowMs } = after(times(5, 'away'))
    expect(breaker.allow(SLOTS, nowMs)).toBe(0)
    const reopensInMs = breaker.reopensInMs(nowMs)
    expect(breaker.allow(SLOTS, nowMs + reopensInMs - 1)).toBe(0)
    expect(breaker.allow(SLOTS, nowMs + reopensInMs)).toBe(1)
    expect(breaker.state).toBe('half-open')
    breaker.record('ok', nowMs + reopensInMs, HALF)
    expect(breaker.state).toBe('closed')
    expect(breaker.allow(SLOTS, nowMs + reopensInMs)).toBe(SLOTS)
  })

  test('the first pause is half a second to one; each failing probe doubles it, up to a minute', () => {
    const first = [0, 0.999].map((random) => {
      const breaker = new Breaker()
      for (let n = 0; n < 5; n += 1) breaker.record('away', 0, random)
      return breaker.reopensInMs(0)
    })
    expect(first[0]).toBe(500)
    expect(first[1]).toBeCloseTo(1000, -1)

    const { breaker } = after(times(5, 'away'))
    let nowMs = 5
    const pauses = Array.from({ length: 9 }, () => {
      nowMs += breaker.reopensInMs(nowMs)
      breaker.allow(SLOTS, nowMs)
      breaker.record('away', nowMs, HALF)
      return breaker.reopensInMs(nowMs)
    })
    expect(pauses).toEqual([1500, 3000, 6000, 12_000, 24_000, 45_000, 45_000, 45_000, 45_000])
  })

  test('after it has closed, the old failures are forgotten', () => {
    const { breaker, nowMs } = after([...times(30, 'failed')])
    breaker.allow(SLOTS, nowMs + 60_000)
    breaker.record('ok', nowMs + 60_000, HALF)
    for (let n = 0; n < 4; n += 1) breaker.record('away', nowMs + 60_000, HALF)
    expect(breaker.state).toBe('closed')
  })

  test('it counts how often it opened', () => {
    const { breaker, nowMs } = after(times(5, 'away'))
    expect(breaker.openings).toBe(1)
    breaker.allow(SLOTS, nowMs + 10_000)
    breaker.record('failed', nowMs + 10_000, HALF)
    expect(breaker.openings).toBe(2)
  })
})
