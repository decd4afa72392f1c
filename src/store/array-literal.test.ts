import { expect, test } from 'vitest'
import { arrayLiteral } from './array-literal.ts'

test.each([
  [[], '{}'],
  [[null, 'NULL', ''], '{NULL,"NULL",""}'],
  [[1, 2.5], '{1,2.5}'],
  [['a,b', '{c}', `it's`, 'say "x"', 'back\\slash'], String.raw`{"a,b","{c}","it's","say \"x\"","back\\slash"}`],
  [[Buffer.from([0, 255])], String.raw`{"\\x00ff"}`],
  [[new Date(0)], '{"1970-01-01T00:00:00.000Z"}'],
])('%j is %s', (items, literal) => {
  expect(arrayLiteral(items)).toBe(literal)
})
