import { expect, test } from 'vitest'
import { EventRing } from './event-ring.ts'

test('each reader has its own place', () => {
  const ring = new EventRing<string>(4)
  ring.add('a')
  ring.add('b')
  expect(ring.at(1)).toEqual({ kind: 'event', event: { number: 1, value: 'a' } })
  expect(ring.at(2)).toEqual({ kind: 'event', event: { number: 2, value: 'b' } })
  expect(ring.at(3)).toEqual({ kind: 'nothing' })
})

test('who is overtaken is told how many were missed, and goes on with the oldest that is there', () => {
  const ring = new EventRing<number>(4)
  for (let n = 1; n <= 10; n += 1) ring.add(n)
  expect(ring.at(1)).toEqual({ kind: 'missed', count: 6, next: 7 })
  expect([7, 8, 9, 10].map((place) => ring.at(place))).toEqual(
    [7, 8, 9, 10].map((number) => ({ kind: 'event', event: { number, value: number } })),
  )
  expect(ring.at(ring.next)).toEqual({ kind: 'nothing' })
})

test('an empty one has nothing, and its first event is the oldest', () => {
  const ring = new EventRing<number>(2)
  expect(ring.at(1)).toEqual({ kind: 'nothing' })
  expect(ring.oldest).toBe(1)
})
