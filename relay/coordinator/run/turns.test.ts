import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Turns } from './turns.ts'

/** After a second in which so many calls have ended, evenly. */
function atPace(perSecond: number, turns = new Turns(), fromMs = 0): Turns {
  turns.count(fromMs)
  for (let n = 1; n <= perSecond; n += 1) turns.count(fromMs + (n * 1000) / perSecond)
  return turns
}

test('nothing is given out before anything has ended, nor by a destination that hangs', () => {
  expect(new Turns().draw(0, 0, 1000)).toBeUndefined()
  const turns = atPace(100)
  expect(turns.draw(1000, 0, 1000)).toBeDefined()
  expect(turns.draw(1300, 0, 1000)).toBeUndefined()
})

test('numbers are up one after the other, at the pace of the destination, and after those who wait there', () => {
  const turns = atPace(100)
  const drawn = Array.from({ length: 5 }, () => turns.draw(1000, 20, 1000))
  expect(drawn).toEqual([210, 220, 230, 240, 250].map((ms) => expect.closeTo(ms, 0)))
})

test('what is too far away gets no number, and leaves it to the next who asks', () => {
  const turns = atPace(10)
  expect(turns.draw(1000, 0, 250)).toBeCloseTo(100)
  expect(turns.draw(1000, 0, 250)).toBeCloseTo(200)
  expect(turns.draw(1000, 0, 250)).toBeUndefined()
  expect(turns.draw(1000, 0, 1000)).toBeCloseTo(300)
})

test('when the pace rises the numbers that are out are up sooner', () => {
  const turns = atPace(10)
  for (let n = 0; n < 50; n += 1) turns.draw(1000, 0, 60_000)
  atPace(100, turns, 1000)
  expect(turns.draw(2000, 0, 60_000)).toBeLessThan(600)
})

test('no two numbers are up at the same time, and none in the past', () => {
  fc.assert(
    fc.property(fc.array(fc.record({ afterMs: fc.nat(400), ended: fc.nat(20) }), { minLength: 1 }), (story) => {
      const turns = new Turns()
      let nowMs = 0
      for (const { afterMs, ended } of story) {
        nowMs += afterMs
        for (let n = 0; n < ended; n += 1) turns.count(nowMs)
        const first = turns.draw(nowMs, 0, 1e9)
        const second = turns.draw(nowMs, 0, 1e9)
        if (first === undefined || second === undefined) continue
        expect(first).toBeGreaterThan(0)
        expect(second).toBeGreaterThan(first)
      }
    }),
  )
})
