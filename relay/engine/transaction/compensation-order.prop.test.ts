import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ancestorsOf, type Span, UNDO_ORDERS, type UndoOrder } from './compensation-order.ts'

const ORDERS = ['happened-before', 'reverse', 'nested', 'any'] as const

/** Branches of a run: every number is drawn once, an end after its start, a child after its parent. */
const spans: fc.Arbitrary<Span[]> = fc
  .array(
    fc.record({ name: fc.constantFrom('a', 'b', 'a.x', 'a.x.y', 'b.z', 'ab', '01', '0102', '010203'), end: fc.nat() }),
    {
      maxLength: 9,
    },
  )
  .map((drawn) => {
    const names = [...new Set(drawn.map(({ name }) => name))].sort()
    return names.map((branch, index) => {
      const end = drawn.find(({ name }) => name === branch)?.end ?? 0
      const span = { branch, startSeq: index * 10 }
      return end % 3 === 0 ? span : { ...span, endSeq: index * 10 + (end % 97) + 1 }
    })
  })

/** What the orders mean, pair by pair. */
function mustPrecede(order: UndoOrder, later: Span, earlier: Span): boolean {
  if (later.startSeq <= earlier.startSeq) return false
  const isInside = ancestorsOf(later.branch).includes(earlier.branch)
  const isAfter = earlier.endSeq !== undefined && earlier.endSeq < later.startSeq
  return { 'happened-before': isInside || isAfter, reverse: true, nested: isInside, any: false }[order]
}

describe.each(ORDERS)('%s', (order) => {
  test('holds back what has to wait for any other, and nothing else', () => {
    fc.assert(
      fc.property(spans, (left) => {
        const isHeld = UNDO_ORDERS[order](left)
        for (const span of left) {
          expect(isHeld(span)).toBe(left.some((other) => mustPrecede(order, other, span)))
        }
      }),
    )
  })

  test('something can always be undone', () => {
    fc.assert(
      fc.property(spans, (left) => {
        const isHeld = UNDO_ORDERS[order](left)
        expect(left.length === 0 || left.some((span) => !isHeld(span))).toBe(true)
      }),
    )
  })
})

test('falling start numbers are allowed by every order', () => {
  fc.assert(
    fc.property(spans, fc.constantFrom(...ORDERS), (all, order) => {
      const left = [...all]
      while (left.length > 0) {
        const newest = left.reduce((best, span) => (span.startSeq > best.startSeq ? span : best))
        expect(UNDO_ORDERS[order](left)(newest)).toBe(false)
        left.splice(left.indexOf(newest), 1)
      }
    }),
  )
})

test('who is inside of whom is read from the name', () => {
  expect(ancestorsOf('010203')).toEqual(['01', '0102'])
  expect(ancestorsOf('order.pay.card')).toEqual(['order', 'order.pay'])
  for (const alone of ['01', 'order', 'orders', '01-02', '123', '']) expect(ancestorsOf(alone)).toEqual([])
})
