import { randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { Webhook } from 'standardwebhooks'
import { describe, expect, test } from 'vitest'
import { parseSigningSecret, type SignedCall, signCall, verifyCall } from './webhook-signature.ts'

const SECRET = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'
const NOW = 1_700_000_000
const key = parseSigningSecret(SECRET)
const signed = (changes: Partial<SignedCall> = {}): SignedCall => ({
  id: 'g:1',
  timestamp: String(NOW),
  signature: signCall([key], 'g:1', NOW, '{"a":1}'),
  body: '{"a":1}',
  ...changes,
})
const code = (call: SignedCall, keys = [key], now = NOW) => {
  try {
    verifyCall(keys, call, now)
    return 'verified'
  } catch (error) {
    return (error as { code: string }).code
  }
}

describe('signCall and verifyCall', () => {
  test('agree with the reference implementation of the specification', () => {
    const reference = new Webhook(SECRET)
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), fc.stringMatching(/^[a-z0-9:]{1,40}$/), (body, id) => {
        const at = new Date(NOW * 1000)
        expect(signCall([key], id, NOW, body)).toBe(reference.sign(id, at, body))
        expect(code({ id, timestamp: String(NOW), signature: reference.sign(id, at, body), body })).toBe('verified')
      }),
    )
  })

  test('a signature by either of two keys is enough while one is being replaced', () => {
    const next = parseSigningSecret(`whsec_${randomBytes(24).toString('base64')}`)
    const both = signed({ signature: signCall([key, next], 'g:1', NOW, '{"a":1}') })
    expect([code(both, [key]), code(both, [next]), code(signed(), [next])]).toEqual([
      'verified',
      'verified',
      'POSTCOMMIT_SIGNATURE_INVALID',
    ])
  })

  test.each([
    ['another body', { body: '{"a":2}' }],
    ['another id', { id: 'g:2' }],
    ['another time', { timestamp: String(NOW + 1) }],
    ['a time that is no number', { timestamp: 'soon' }],
    ['half a signature', { signature: 'v1,AAAA' }],
    ['an unknown version', { signature: signCall([key], 'g:1', NOW, '{"a":1}').replace('v1', 'v0') }],
  ])('refuses %s', (_, changes) => {
    expect(code(signed(changes))).toBe('POSTCOMMIT_SIGNATURE_INVALID')
  })

  test.each(['id', 'timestamp', 'signature'] as const)('refuses a call without its %s', (header) => {
    expect(code(signed({ [header]: undefined }))).toBe('POSTCOMMIT_SIGNATURE_MISSING')
  })

  test('refuses a call from too long ago or from the future', () => {
    expect(code(signed(), [key], NOW + 301)).toBe('POSTCOMMIT_TIMESTAMP_OUT_OF_RANGE')
    expect(code(signed(), [key], NOW - 301)).toBe('POSTCOMMIT_TIMESTAMP_OUT_OF_RANGE')
    expect(code(signed(), [key], NOW + 300)).toBe('verified')
  })
})

describe('parseSigningSecret', () => {
  test.each([
    '',
    'MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw',
    'whsec_',
    'whsec_c2hvcnQ=',
    'whsec_****',
    `whsec_${'A'.repeat(200)}`,
  ])('refuses %j without repeating it', (secret) => {
    expect(() => parseSigningSecret(secret)).toThrow(expect.objectContaining({ code: 'POSTCOMMIT_INVALID_SECRET' }))
    if (secret.length > 12) expect(() => parseSigningSecret(secret)).not.toThrow(secret)
  })
})
