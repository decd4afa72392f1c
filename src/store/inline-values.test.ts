import pg from 'pg'
import { describe, expect, test } from 'vitest'
import { inlineValues } from './inline-values.ts'

const inline = (...values: string[]) => inlineValues({ text: 'select $1, $2', values })

describe('inlineValues', () => {
  test('puts every value in its place', () => {
    const numbers = Array.from({ length: 11 }, (_, n) => `v${n + 1}`)
    expect(inlineValues({ text: '$11 $1 $1', values: numbers })).toBe("'v11' 'v1' 'v1'")
  })

  test.each([
    ['plain', "'plain'"],
    ['', "''"],
    ["it's", "'it''s'"],
    ["'; drop table t; --", "'''; drop table t; --'"],
    ["\\'", " E'\\\\'''"],
    ['\\', " E'\\\\'"],
    ['$2', "'$2'"],
    ['$&', "'$&'"],
  ])('quotes %j', (value, literal) => {
    expect(inline(value, 'x')).toBe(`select ${literal}, 'x'`)
    expect(pg.escapeLiteral(value)).toBe(literal)
  })

  test('refuses what is not text', () => {
    expect(() => inline('only one')).toThrow(TypeError)
    expect(() => inline(1 as unknown as string, 'x')).toThrow(TypeError)
  })
})
