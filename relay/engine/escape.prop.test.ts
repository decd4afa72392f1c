import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { errorText, escapeUnshowable, shownJson } from './error-text.ts'

const UNSHOWABLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u
const nasty = fc.constantFrom(
  '\u001b[2J',
  '\r',
  '\u202e',
  '\u009b',
  '\u2066',
  '\u200b',
  '\ud800',
  '\u2028',
  '\u{e0001}',
)
const text = fc.array(fc.oneof(nasty, fc.string(), fc.string({ unit: 'binary' }))).map((parts) => parts.join(''))

describe('what goes to a terminal or a log', () => {
  test('has nothing that a terminal would obey', () => {
    fc.assert(
      fc.property(text, (value) => {
        expect(errorText(value)).not.toMatch(UNSHOWABLE)
        expect(escapeUnshowable(value).replaceAll('\n', '')).not.toMatch(UNSHOWABLE)
        expect(shownJson({ value }, 2).replaceAll('\n', '')).not.toMatch(UNSHOWABLE)
      }),
    )
  })

  test('says the same as JSON, for who reads that', () => {
    fc.assert(
      fc.property(
        text.filter((value) => value.length <= 2000),
        (value) => {
          expect(JSON.parse(shownJson({ value }))).toEqual({ value })
        },
      ),
    )
  })

  test('has an end, but for what was asked for', () => {
    const long = 'x'.repeat(10_000)
    expect(JSON.parse(shownJson({ gid: long, payload: long }))).toEqual({
      gid: `${'x'.repeat(1999)}…`,
      payload: long,
    })
  })
})
