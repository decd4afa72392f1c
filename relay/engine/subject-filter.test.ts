import { expect, test } from 'vitest'
import { subjectFilterProblem, takesSubject } from './subject-filter.ts'

test.each([
  ['orders.back-query', 'orders.back-query', true],
  ['orders.back-query', 'orders.back-query.x', false],
  ['orders.back-query', 'orders', false],
  ['*.back-query', 'orders.back-query', true],
  ['*.back-query', 'a.b.back-query', false],
  ['*.back-query', 'back-query', false],
  ['orders.>', 'orders.a.b', true],
  ['orders.>', 'orders', false],
  ['orders.*.>', 'orders.a', false],
  ['>', 'orders', true],
  ['orders.*', 'ordersx.a', false],
])('%s takes %s: %s', (filter, subject, takes) => {
  expect(takesSubject(filter, subject)).toBe(takes)
})

test.each(['', 'a..b', 'a b', '$JS.API', 'a.>.b', '>.a', 'a*'])('%j is no filter', (text) => {
  expect(subjectFilterProblem(text)).toEqual(expect.any(String))
})
