import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { editDistance, suggest } from './suggest.ts'

describe('editDistance', () => {
  test.each([
    ['server', 'servers', 1],
    ['teh', 'the', 1],
    ['', 'abc', 3],
    ['kitten', 'sitting', 3],
  ])('%s to %s is %i', (from, to, distance) => {
    expect(editDistance(from, to)).toBe(distance)
  })

  test('is symmetric, zero only for equals, and at most the longer length', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 12 }), fc.string({ maxLength: 12 }), (a, b) => {
        const distance = editDistance(a, b)
        expect(editDistance(b, a)).toBe(distance)
        expect(distance === 0).toBe(a === b)
        expect(distance).toBeLessThanOrEqual(Math.max(a.length, b.length))
      }),
    )
  })
})

describe('suggest', () => {
  test('names what is near and nothing else', () => {
    expect(suggest('retentionms', ['retentionMs', 'leaseMs'])).toBe('retentionMs')
    expect(suggest('colour', ['retentionMs', 'leaseMs'])).toBeUndefined()
  })
})
