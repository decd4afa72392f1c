import { runInNewContext } from 'node:vm'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { encodePayload } from './payload.ts'

const encode = (payload: unknown, bytesMax = 1000) => encodePayload(payload, 'a.b', bytesMax)
const cyclic: Record<string, unknown> = {}
cyclic['self'] = { cyclic }

describe('encodePayload', () => {
  test('JSON values become their text, bytes stay bytes', () => {
    expect(encode({ a: [1, null, 'é'], at: new Date(0), skipped: undefined })).toEqual({
      text: '{"a":[1,null,"é"],"at":"1970-01-01T00:00:00.000Z"}',
    })
    expect(encode(new Uint8Array([0, 255]))).toEqual({ bytes: Buffer.from([0, 255]) })
  })

  test('bytes are copied: changing them after the call changes nothing', () => {
    const bytes = new Uint8Array([1])
    const content = encode(bytes)
    bytes[0] = 2
    expect(content).toEqual({ bytes: Buffer.from([1]) })
  })

  test.each([
    ['undefined', undefined],
    ['a function', () => 1],
    ['a symbol', Symbol('x')],
    ['a bigint', 1n],
    ['a bigint inside', { a: [1n] }],
    ['a function inside', { a: () => 1 }],
    ['undefined in an array', [undefined]],
    ['NaN', Number.NaN],
    ['Infinity inside', { a: Number.POSITIVE_INFINITY }],
    ['NUL', 'a\0b'],
    ['NUL in a name', { 'a\0': 1 }],
    ['a lone surrogate', '\ud800'],
    ['a lone surrogate in a name', { '\udfff': 1 }],
    ['a cycle', cyclic],
    ['a Map', new Map([[1, 2]])],
    ['a Set inside', { a: new Set() }],
    ['a typed array inside', { a: new Uint8Array(1) }],
    ['a Buffer inside', { a: Buffer.from('a') }],
    ['a promise', Promise.resolve(1)],
    ['a promise inside', { a: Promise.resolve(1) }],
    ['an Error', new Error('x')],
    ['an Error with properties', Object.assign(new Error('x'), { code: 'E' })],
    ['a RegExp inside', { a: /a/ }],
    ['a WeakMap', new WeakMap()],
    ['URLSearchParams inside', { a: new URLSearchParams('a=1') }],
    ['Headers inside', { a: new Headers({ a: '1' }) }],
    ['an iterator inside', { a: [1].values() }],
    ['a Blob inside', { a: new Blob(['x']) }],
    ['a boxed NaN', Object(Number.NaN)],
    ['a boxed bigint', Object(1n)],
    ['an invalid Date', new Date('x')],
    ['65 levels', JSON.parse('['.repeat(66) + ']'.repeat(66))],
  ])('refuses %s', (_, payload) => {
    expect(() => encode(payload)).toThrow(expect.objectContaining({ code: 'POSTCOMMIT_INVALID_PAYLOAD' }))
  })

  test('takes plain objects, also of null and of another realm, classes with properties, and what has a toJSON', () => {
    class Money {
      cents = 5
    }
    expect(encode([{}, Object.create(null), runInNewContext('({ a: {} })'), new Money()])).toEqual({
      text: '[{},{},{"a":{}},{"cents":5}]',
    })
    expect(encode(new URL('http://a/'))).toEqual({ text: '"http://a/"' })
  })

  test('says where the problem is', () => {
    expect(() => encode({ order: { lines: [{ price: 1n }] } })).toThrow('payload.order.lines[0].price is a bigint')
  })

  test('the same object twice is not a cycle', () => {
    const shared = { a: 1 }
    expect(encode([shared, shared])).toEqual({ text: '[{"a":1},{"a":1}]' })
  })

  test('the limit counts bytes, not characters', () => {
    expect(encode('éé', 6)).toEqual({ text: '"éé"' })
    expect(() => encode('éé', 5)).toThrow(expect.objectContaining({ code: 'POSTCOMMIT_PAYLOAD_TOO_LARGE' }))
    expect(() => encode(new Uint8Array(6), 5)).toThrow('is 6 bytes; the limit is 5')
  })

  test('what it takes, JSON gives back', () => {
    fc.assert(
      fc.property(fc.jsonValue({ noUnicodeString: false }), (value) => {
        const text = JSON.stringify(value)
        if (text.includes('\\u0000') || /\\ud[89a-f]/i.test(text)) return
        expect(encode(value, 1e6).text).toBe(text)
      }),
    )
  })
})
