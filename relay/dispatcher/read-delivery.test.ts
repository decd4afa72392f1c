import { describe, expect, test } from 'vitest'
import type { ClaimedDelivery } from '../store/delivery/claim-due.ts'
import { readDelivery } from './read-delivery.ts'

const row: ClaimedDelivery = {
  id: '7',
  gid: 'g',
  branch: 2,
  destination: 'stock',
  target: '/deduct',
  key: null,
  payload: '{"a": 1.0}',
  body: null,
  headers: null,
  withheldBy: null,
  attempts: 3,
  bytes: 10,
}

describe('readDelivery', () => {
  test('a row of the SDK', () => {
    expect(readDelivery('main', row)).toEqual({
      source: 'main',
      gid: 'g',
      mode: 'msg',
      branch: '2',
      number: 2,
      op: 'action',
      dialect: 'v1',
      target: '/deduct',
      key: undefined,
      content: '{"a": 1.0}',
      headers: {},
      attempt: 4,
      timeoutMs: undefined,
      reads: 'status',
    })
    expect(readDelivery('main', { ...row, key: 'k', headers: '{"tenant":"a"}' })).toMatchObject({
      key: 'k',
      headers: { tenant: 'a' },
    })
    const body = Buffer.from([0, 255])
    expect(readDelivery('main', { ...row, payload: null, body }).content).toBe(body)
  })

  test('the key of a delayed message is among its headers, and is no header of its own', () => {
    expect(readDelivery('main', { ...row, headers: '{"postcommit-key":"k%C3%A9","a":"b"}' })).toMatchObject({
      key: 'ké',
      headers: { a: 'b' },
    })
  })

  test.each([
    ['{"host":"internal"}', /reserved/],
    ['{"webhook-id":"forged"}', /reserved/],
    ['{"a":"b\\r\\nhost: internal"}', /control/],
    ['{"a":1}', /not a string/],
    ['null', /JSON object/],
    ['{', /JSON object/],
  ])('headers that the SDK would not have written are not sent: %s', (headers, reason) => {
    expect(() => readDelivery('main', { ...row, headers })).toThrow(reason)
  })

  test.each<[string, Partial<ClaimedDelivery>, RegExp]>([
    ['another host', { target: '//internal' }, /path/],
    ['the API of the server', { destination: 'nats', target: '$JS.API.STREAM.DELETE.ORDERS' }, /topic/],
    ['a gid that is none', { gid: 'a b' }, /gid/],
    ['a branch that is none', { branch: -5 }, /branch/],
    ['a key that is none', { key: '' }, /key/],
    ['what is no JSON', { payload: 'hello' }, /JSON/],
  ])('what the SDK would not have written is not sent: %s', (_, part, reason) => {
    expect(() => readDelivery('main', { ...row, ...part })).toThrow(reason)
  })
})
