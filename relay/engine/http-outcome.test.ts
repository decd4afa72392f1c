import { describe, expect, test } from 'vitest'
import { readHttpAnswer, readHttpFailure, readRetryAfter } from './http-outcome.ts'

const NOW = Date.parse('Sat, 21 Nov 2026 12:00:00 GMT')
const read = (status: number, more: Partial<Parameters<typeof readHttpAnswer>[0]> = {}) =>
  readHttpAnswer({
    status,
    attempts: 0,
    permanentAttemptsMax: 8,
    ...more,
  })

describe('readHttpAnswer', () => {
  test.each([200, 201, 202, 204, 299])('%i confirms', (status) => {
    expect(read(status)).toEqual({ kind: 'confirmed', status })
  })

  test('a 409 confirms if the receiver says that it had the message before, and only then', () => {
    expect(read(409, { isDuplicate: true })).toEqual({ kind: 'confirmed', status: 409 })
    expect(read(409)).toMatchObject({ kind: 'failed' })
    expect(read(404, { isDuplicate: true })).toMatchObject({ kind: 'failed' })
  })

  test.each([429, 503, 425])('%i says that it is not the time: no attempt', (status) => {
    expect(read(status)).toEqual({ kind: 'unavailable', error: `answered ${status}`, status })
    expect(read(status, { retryAfterMs: 7000 })).toMatchObject({ kind: 'unavailable', retryAfterMs: 7000 })
    expect(read(status, { attempts: 100 })).toMatchObject({ kind: 'unavailable' })
  })

  test('a 410 refuses for good', () => {
    expect(read(410)).toEqual({ kind: 'refused', error: 'answered 410', status: 410 })
  })

  test.each([400, 401, 403, 404, 409, 422, 499])('%i is about the message, and dead at the eighth time', (status) => {
    expect(read(status, { attempts: 6 })).toMatchObject({ kind: 'failed', ofMessage: true, status })
    expect(read(status, { attempts: 7 })).toMatchObject({ kind: 'refused', status })
  })

  test.each([500, 502, 504, 599])('%i fails, however often', (status) => {
    expect(read(status, { attempts: 1000 })).toEqual({ kind: 'failed', error: `answered ${status}`, status })
  })

  test.each([301, 302, 307, 308])('%i is not followed', (status) => {
    expect(read(status)).toEqual({
      kind: 'failed',
      error: `answered ${status}; redirects are not followed`,
      status,
    })
  })

  test('a status that no rule knows fails', () => {
    expect(read(103)).toMatchObject({ kind: 'failed' })
    expect(read(600)).toMatchObject({ kind: 'failed' })
  })
})

describe('readRetryAfter', () => {
  test.each([
    ['0', 0],
    [' 30 ', 30_000],
    ['86400', 3_600_000],
    ['Sat, 21 Nov 2026 12:00:05 GMT', 5000],
    ['Sat, 21 Nov 2026 11:00:00 GMT', 0],
    ['Sun, 22 Nov 2026 12:00:00 GMT', 3_600_000],
    ['Saturday, 21-Nov-26 12:00:05 GMT', 5000],
    ['Sat Nov 21 12:00:05 2026', 5000],
    ['9999999999', 3_600_000],
  ])('%s', (value, ms) => {
    expect(readRetryAfter(value, NOW)).toBe(ms)
  })

  test.each([undefined, '', 'soon', '1.5', '-5', '1e3', '0x10', 'Sat, nonsense', '9'.repeat(30)])(
    '%s is none',
    (value) => {
      expect(readRetryAfter(value, NOW)).toBeUndefined()
    },
  )
})

describe('readHttpFailure', () => {
  const failure = (code: string) => readHttpFailure(Object.assign(new Error('to 10.0.0.7:443: secret'), { code }))

  test.each(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'UND_ERR_CONNECT_TIMEOUT', 'CERT_HAS_EXPIRED'])(
    '%s: the request was never sent',
    (code) => {
      expect(failure(code)).toEqual({ kind: 'unanswered', result: 'away', error: `no answer: ${code}` })
    },
  )

  test.each(['ECONNRESET', 'EPIPE', 'UND_ERR_SOCKET', 'UND_ERR_HEADERS_TIMEOUT', 'HPE_INVALID_CONSTANT'])(
    '%s: it may have been taken',
    (code) => {
      expect(failure(code)).toEqual({ kind: 'unanswered', result: 'failed', error: `no answer: ${code}` })
    },
  )

  test('an error without a code', () => {
    expect(readHttpFailure(new Error('secret'))).toEqual({
      kind: 'unanswered',
      result: 'failed',
      error: 'no answer: unknown',
    })
    expect(readHttpFailure('secret')).toEqual({ kind: 'unanswered', result: 'failed', error: 'no answer: unknown' })
  })
})
