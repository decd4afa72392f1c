import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { errorText, escapeUnshowable, shownJson } from './error-text.ts'

const UNSHOWABLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u
const anything = fc.oneof(fc.string(), fc.string({ unit: 'binary', maxLength: 2000 }))

describe('errorText', () => {
  test('whatever comes in, PostgreSQL and a log take it: one line, well-formed, no control characters, short', () => {
    fc.assert(
      fc.property(anything, (text) => {
        const shown = errorText(text)
        expect(shown.length).toBeLessThanOrEqual(200)
        expect(shown).not.toMatch(UNSHOWABLE)
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

describe('escapeUnshowable', () => {
  test('nothing but line breaks is left that does something to a terminal', () => {
    fc.assert(
      fc.property(anything, (text) => {
        expect(escapeUnshowable(text).replaceAll('\n', '')).not.toMatch(UNSHOWABLE)
      }),
    )
  })

  test('colours, bells and bidi overrides are written as JSON writes them, whole characters too', () => {
    expect(escapeUnshowable('\u001b[31mred\u0007 \u202eabc\nnext \u{e0001}')).toBe(
      '\\u001b[31mred\\u0007 \\u202eabc\nnext \\udb40\\udc01',
    )
  })
})

test('shownJson is the same value again, but for texts without end', () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 3 }), (value) => {
      const shown = shownJson(value)
      expect(shown).not.toMatch(UNSHOWABLE)
      expect(JSON.parse(shown)).toEqual(JSON.parse(JSON.stringify(value)))
    }),
  )
  expect(shownJson({ error: 'x'.repeat(5000), payload: 'y'.repeat(5000) }).length).toBeLessThan(7200)
})
