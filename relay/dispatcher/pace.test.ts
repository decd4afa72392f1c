import { expect, test } from 'vitest'
import { Pace } from './pace.ts'

function ended(pace: Pace, count: number): Pace {
  for (let n = 0; n < count; n += 1) pace.count()
  return pace
}

test('nothing is held ready before anything has ended', () => {
  expect(new Pace().ahead(0)).toBe(0)
})

test('as much is held ready as ends in fifty milliseconds', () => {
  const pace = new Pace()
  pace.ahead(0)
  expect(ended(pace, 100).ahead(50)).toBe(100)
  expect(ended(pace, 100).ahead(150)).toBe(50)
})

test('in between it stays as it is', () => {
  const pace = new Pace()
  pace.ahead(0)
  ended(pace, 10).ahead(50)
  expect(ended(pace, 100).ahead(60)).toBe(10)
})

test('a destination that hangs gets nothing more, nor does a slow one', () => {
  const pace = new Pace()
  pace.ahead(0)
  ended(pace, 100).ahead(50)
  expect(pace.ahead(100)).toBe(0)
  expect(ended(pace, 1).ahead(1100)).toBe(0)
})
