import { describe, expect, test } from 'vitest'
import { readPullStatus } from './pull-status.ts'

function headers(code: number, description: string, values: Record<string, string> = {}) {
  return {
    code,
    description,
    get: (name: string) => values[name] ?? '',
    has: (name: string) => name in values,
    keys: () => Object.keys(values),
  }
}

describe('readPullStatus', () => {
  test('100 is a heartbeat', () => {
    expect(readPullStatus(headers(100, 'Idle Heartbeat'))).toEqual({ kind: 'heartbeat' })
  })

  test('404, 408 and a full batch are the end of a request', () => {
    expect(readPullStatus(headers(404, 'No Messages'))).toEqual({ kind: 'ended', unfilled: undefined })
    const timeout = headers(408, 'Request Timeout', { 'Nats-Pending-Messages': '4', 'Nats-Pending-Bytes': '0' })
    expect(readPullStatus(timeout)).toEqual({ kind: 'ended', unfilled: 4 })
    expect(readPullStatus(headers(409, 'Batch Completed')).kind).toBe('ended')
  })

  test.each([
    [409, 'Consumer Deleted'],
    [409, 'Server Shutdown'],
    [409, 'Exceeded MaxRequestBatch of 10'],
    [409, 'Leadership Change'],
    [503, ''],
    [400, 'Bad Request'],
  ])('%d %s is trouble, and says so', (code, description) => {
    expect(readPullStatus(headers(code, description))).toEqual({
      kind: 'trouble',
      reason: `${code} ${description}`.trim(),
    })
  })
})
