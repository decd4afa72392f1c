import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseStoredHeaders, type StoredMessage, storedMessageProblem } from './stored-message.ts'

interface Row extends StoredMessage {
  readonly destination: string
  readonly target: string
}

const problemOf = (row: Row) => storedMessageProblem(row, row.destination, row.target)

const legal: Row = {
  gid: 'g-1',
  branch: 1,
  destination: 'nats',
  target: 'order.placed',
  key: 'k',
  payload: '{"a":1.0}',
  body: null,
  headers: '{"traceparent":"00-a"}',
}
const called: Row = { ...legal, destination: 'stock', target: '/deduct?a=1' }

describe('storedMessageProblem', () => {
  test.each<[string, Row]>([
    ['a publish', legal],
    ['a call', called],
    ['bytes', { ...legal, payload: null, body: new Uint8Array([0, 255]) }],
    ['without key and headers', { ...legal, key: null, headers: null }],
    ['an invalidation', { ...legal, target: 'postcommit.cache.product', key: 'product:7', payload: '{"key":"7"}' }],
    ['a delayed message with its key', { ...legal, key: null, headers: '{"postcommit-key":"a%20b"}' }],
    ['a number that is the whole payload', { ...legal, payload: '1' }],
  ])('%s may be sent', (_, message) => {
    expect(problemOf(message)).toBeUndefined()
  })

  test.each<[string, Partial<Row>, RegExp]>([
    ['the API of the server', { target: '$JS.API.STREAM.DELETE.ORDERS' }, /topic .*\$/],
    ['an inbox', { target: '_INBOX.abc' }, /inboxes/],
    ["this project's own subjects", { target: 'postcommit.anything' }, /message\.invalidate/],
    ['more than the name of an invalidation', { target: 'postcommit.cache.a.b' }, /message\.invalidate/],
    ['everything', { target: '>' }, /only A-Z/],
    ['any token', { target: 'a.*' }, /only A-Z/],
    ['a subject with a second command', { target: 'a 0\r\n\r\nPUB b' }, /only A-Z/],
    ['no subject', { target: '' }, /empty/],
    ['no gid', { gid: '' }, /gid/],
    ['a gid with spaces', { gid: 'a b' }, /gid/],
    ['a negative branch', { branch: -5 }, /branch/],
    ['a branch that no message id carries', { branch: 2_000_000_000 }, /branch/],
    ['a key of 5,000 characters', { key: 'k'.repeat(5000) }, /key .*255/],
    ['a key with a line break', { key: 'a\r\nb' }, /key .*control/],
    ['no key', { key: '' }, /key .*empty/],
    ['what deletes the past of a stream', { headers: '{"Nats-Rollup":"all"}' }, /nats-rollup.*reserved/],
    ['another message id', { headers: '{"Nats-Msg-Id":"x"}' }, /reserved/],
    ['a header of the relay', { headers: '{"postcommit-gid":"x"}' }, /reserved/],
    ['a key beside the key', { headers: '{"postcommit-key":"x"}' }, /reserved/],
    ['a key that breaks the headers apart', { key: null, headers: '{"postcommit-key":"a\\r\\nb: c"}' }, /reserved/],
    ['a second header in a value', { headers: '{"a":"b\\r\\nNats-Rollup: all"}' }, /control/],
    ['a value that is a number', { headers: '{"a":1}' }, /not a string/],
    ['headers that are no object', { headers: '[]' }, /JSON object/],
    ['headers that are no JSON', { headers: '{' }, /JSON object/],
    ['a payload that is no JSON', { payload: 'hello' }, /not JSON/],
    ['no payload', { payload: '' }, /not JSON/],
    ['no content', { payload: null }, /one content/],
    ['two contents', { body: new Uint8Array(1) }, /one content/],
    ['a payload without end', { payload: JSON.stringify('x'.repeat(1_000_000)) }, /1000002 bytes/],
    ['bytes without end', { payload: null, body: new Uint8Array(1_000_000) }, /1000000 bytes/],
  ])('%s is not sent', (_, part, reason) => {
    expect(problemOf({ ...legal, ...part })).toMatch(reason)
  })

  test.each<[string, Partial<Row>, RegExp]>([
    ['another host', { target: '//internal/x' }, /another host/],
    ['a path that leaves its base', { target: '/a/../../admin' }, /segment/],
    ['no path', { target: 'deduct' }, /start with/],
    ['a second request', { target: '/a HTTP/1.1\r\nhost: x' }, /spaces/],
    ['a destination that no configuration can name', { destination: 'http://internal' }, /destination/],
    ['where the request goes', { headers: '{"host":"internal"}' }, /reserved/],
    ['its signature', { headers: '{"webhook-signature":"v1,x"}' }, /reserved/],
  ])('a call with %s is not made', (_, part, reason) => {
    expect(problemOf({ ...called, ...part })).toMatch(reason)
  })

  test('whatever is in a row: there is an answer, and what passes has a plain subject', () => {
    const text = fc.oneof(fc.string(), fc.string({ unit: 'binary' }), fc.constantFrom('a', '{}', 'a.b', '$JS', '>'))
    const row = fc.record({
      gid: text,
      branch: fc.integer(),
      destination: fc.constantFrom('nats', 'stock', ''),
      target: text,
      key: fc.option(text),
      payload: fc.option(text),
      body: fc.option(fc.uint8Array()),
      headers: fc.option(text),
    })
    fc.assert(
      fc.property(row, (message) => {
        if (problemOf(message) !== undefined || message.destination !== 'nats') return
        expect(message.target).toMatch(/^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$/)
      }),
    )
  })
})

test('the headers of a stored message', () => {
  expect(parseStoredHeaders('{"A":"b"}', 'k')).toEqual({ a: 'b' })
  expect(parseStoredHeaders('{"postcommit-key":"a%20b"}', null)).toEqual({ 'postcommit-key': 'a%20b' })
})
