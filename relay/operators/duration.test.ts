import { expect, test } from 'vitest'
import { formatDuration, parseDuration } from './duration.ts'

test.each([
  [0, '0 ms'],
  [13.4, '13 ms'],
  [999, '999 ms'],
  [1000, '1 s'],
  [2590, '2.5 s'],
  [12_900, '12 s'],
  [60_000, '1 min'],
  [40 * 60_000, '40 min'],
  [5_400_000, '1.5 h'],
  [86_400_000 * 12, '12 d'],
  [-5, '0 ms'],
])('formatDuration(%d)', (milliseconds, text) => {
  expect(formatDuration(milliseconds)).toBe(text)
})

test.each([
  ['250ms', 250],
  ['90s', 90_000],
  ['15m', 900_000],
  ['15 min', 900_000],
  ['1h', 3_600_000],
  ['2d', 172_800_000],
  ['1', undefined],
  ['-1h', undefined],
  ['1w', undefined],
  ['1.5h', undefined],
])('parseDuration(%s)', (text, milliseconds) => {
  expect(parseDuration(text)).toBe(milliseconds)
})
