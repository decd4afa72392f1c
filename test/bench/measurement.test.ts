import { describe, expect, test } from 'vitest'
import { atLeast, atMost, ratio, ratioAtLeast, ratioAtMost, read, spread } from './measurement.ts'

const samples = { ours: [10, 90, 40], limit: [20, 100, 50], slow: [1, 3, 2], fast: [5, 20, 10] }
const reading = { name: 'it', unit: 'a second', ours: 'ours' } as const

describe('spread', () => {
  test('has the middle of an odd number of rounds, and the mean of the middle two of an even one', () => {
    expect(spread([3, 1, 2])).toEqual({ min: 1, median: 2, max: 3 })
    expect(spread([4, 1, 2, 10])).toEqual({ min: 1, median: 3, max: 10 })
  })

  test.for([[[]], [[1, Number.NaN]], [[Number.POSITIVE_INFINITY]]])(
    'refuses %j: that is not a measurement',
    ([values]) => {
      expect(() => spread(values ?? [])).toThrow('not measured')
    },
  )
})

describe('a ratio', () => {
  test('is taken in each round, and then the middle one', () => {
    // Of the medians it would be 40 / 50; the rounds are 0.5, 0.9 and 0.8, in which the machine was never the same.
    expect(ratio({ ours: [10, 90, 40], to: [20, 100, 50] }, 'ours', 'to')).toBe(0.8)
    expect(ratio({ ours: [10, 10, 90], to: [100, 20, 90] }, 'ours', 'to')).toBe(0.5)
  })

  test('to rounds that were not measured is none', () => {
    expect(ratio({ ours: [1, 2, 3], to: [] }, 'ours', 'to')).toBeNaN()
  })
})

describe('a measurement', () => {
  test('compares with the limit and with the best peer', () => {
    expect(read(samples, { ...reading, limit: 'limit', peers: ['slow', 'fast'] })).toEqual({
      name: 'it',
      unit: 'a second',
      ours: { min: 10, median: 40, max: 90 },
      limit: { name: 'limit', min: 20, median: 50, max: 100 },
      peers: { slow: { min: 1, median: 2, max: 3 }, fast: { min: 5, median: 10, max: 20 } },
      ratioToLimit: 0.8,
      ratioToBestPeer: 4,
      goals: [],
    })
  })

  test('of a time takes the lowest peer for the best', () => {
    expect(read(samples, { ...reading, peers: ['slow', 'fast'], better: 'lower' }).ratioToBestPeer).toBe(20)
  })

  test('refuses a contender without rounds', () => {
    expect(() => read({ ...samples, ours: [] }, reading)).toThrow('not measured')
    expect(() => read({ ...samples, fast: [] }, { ...reading, peers: ['fast'] })).toThrow('not measured')
  })
})

describe('a goal', () => {
  test.for([
    [atLeast(40), true],
    [atLeast(41), false],
    [atMost(40), true],
    [atMost(39), false],
    [ratioAtLeast('limit', 0.8), true],
    [ratioAtLeast('limit', 0.81), false],
    [ratioAtMost('limit', 0.8), true],
    [ratioAtMost('limit', 0.79), false],
  ] as const)('%j: %s', ([goal, held]) => {
    const measurement = read(samples, { ...reading, goals: [goal] })
    expect(measurement).toMatchObject({ held, goals: [{ held }] })
    expect(measurement.goal).toContain(goal.value.toString())
  })

  test('to what was not measured is not held', () => {
    const goals = [ratioAtLeast('limit', 0), ratioAtMost('limit', 1)]
    expect(read({ ...samples, limit: [] }, { ...reading, goals }).goals.map(({ held }) => held)).toEqual([false, false])
  })

  test('that is missed makes all of them missed', () => {
    const goals = [atLeast(1), atLeast(1000), ratioAtLeast('fast', 2)]
    expect(read(samples, { ...reading, goals })).toMatchObject({
      held: false,
      goal: '≥ 1 a second; ≥ 1,000 a second; ≥ 2 × fast',
      goals: [{ held: true }, { held: false, value: 40 }, { held: true, value: 4 }],
    })
  })
})
