import { expect, test } from 'vitest'
import { longest, longestDuring, StandstillBook } from './standstill.ts'

/** How many are handed on, and how many wait; undefined where the database does not answer. */
type Look = readonly [handedOn: number, waiting: number] | undefined

/** A look a second. */
function looks(seen: readonly Look[]) {
  const book = new StandstillBook()
  for (const [second, look] of seen.entries()) {
    book.note(1000 * second, look && { handedOn: look[0], waiting: look[1] })
  }
  return book.close(1000 * seen.length)
}

test.each<[string, readonly Look[], number]>([
  [
    'from the last confirmation to the next, while messages wait',
    [
      [1, 0],
      [1, 3],
      [1, 9],
      [5, 5],
      [10, 0],
    ],
    3000,
  ],
  [
    'not while nothing waits',
    [
      [1, 0],
      [1, 0],
      [1, 0],
      [1, 0],
    ],
    0,
  ],
  [
    'not while the database is away, and from when it is back',
    [[1, 2], undefined, undefined, [1, 2], [1, 2], [3, 0]],
    3000,
  ],
  [
    'also one that lasts until the end',
    [
      [1, 0],
      [1, 1],
      [1, 2],
    ],
    3000,
  ],
])('a standstill is %s', (_, seen, expected) => {
  expect(longest(looks(seen).filter(({ to, from }) => to - from > 1000))).toBe(expected)
})

test('a standstill belongs to the faults that were there while it lasted', () => {
  const standstills = [
    { from: 1000, to: 6000 },
    { from: 9000, to: 10_000 },
  ]
  expect(longestDuring(standstills, [{ from: 5500, to: 9500 }])).toBe(5000)
  expect(longestDuring(standstills, [{ from: 9500, to: 9600 }])).toBe(1000)
  expect(longestDuring(standstills, [{ from: 7000, to: 8000 }])).toBe(0)
})
