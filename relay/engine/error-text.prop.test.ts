import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { errorText } from './error-text.ts'

const anything = fc.oneof(fc.string(), fc.string({ unit: 'binary', maxLength: 2000 }))

describe('errorText', () => {
  test('whatever comes in, PostgreSQL and a log take it: one line, well-formed, no control characters, short', () => {
    fc.assert(
      fc.property(anything, (text) => {
        const shown = errorText(text)
        expect(shown.length).toBeLessThanOrEqual(200)
        expect(shown).not.toMatch(/[\p{Cc}\p{Cs}\u2028\u2029]/u)
        expect(shown).toBe(shown.trim())
      }),
    )
  })

  test('a plain sentence stays as it is', () => {
    expect(errorText('connect ECONNREFUSED 127.0.0.1:80')).toBe('connect ECONNREFUSED 127.0.0.1:80')
  })

  test('NUL, line breaks and halves of a character become a space', () => {
    expect(errorText('a\u0000b\r\n\tc\ud800d\u2028e')).toBe('a b c d e')
  })

  test('a long text is cut where it says so, and not through a character', () => {
    expect(errorText('x'.repeat(500))).toBe(`${'x'.repeat(199)}…`)
    expect(errorText(`${'x'.repeat(198)}😀${'x'.repeat(100)}`)).toBe(`${'x'.repeat(198)}…`)
  })
})
