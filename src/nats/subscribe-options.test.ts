import { describe, expect, test } from 'vitest'
import type { NatsConnectionLike } from './nats-connection.ts'
import { compileOptions, matches } from './subscribe-options.ts'

// Only the options are read here; nothing is sent.
const connection = { info: { version: '2.9.10' } } as NatsConnectionLike
const options = { connection, stream: 'ORDERS', durable: 'stock' }

describe('compileOptions', () => {
  test('fills in the defaults', () => {
    expect(compileOptions(options)).toMatchObject({
      concurrency: 10,
      attemptsMax: Infinity,
      backOff: { baseMs: 1000, capMs: 300_000 },
      consumer: { subjects: [], startAt: 'all', ackWaitMs: undefined },
      inboxSubject: expect.stringMatching(/^_INBOX\.[0-9a-f]{24}$/),
    })
  })

  test('takes the prefix of the inboxes from the connection, where the clients keep it', () => {
    const prefixed = { ...connection, options: { inboxPrefix: '_INBOX_stock' } } as NatsConnectionLike
    expect(compileOptions({ ...options, connection: prefixed }).inboxSubject).toMatch(/^_INBOX_stock\./)
    expect(compileOptions({ ...options, connection: prefixed, inboxPrefix: 'mine' }).inboxSubject).toMatch(/^mine\./)
  })

  test.each([
    ['a stream with a dot', { stream: 'OR.DERS' }],
    ['a durable that would be a command of its own', { durable: 'a 0\r\n\r\nPUB x' }],
    ['a subject with a space', { subjects: 'a b' }],
    ['a subject of the server', { subjects: '$JS.API.>' }],
    ['a wildcard inside a token', { subjects: 'a.b*' }],
    ['a dead letter subject with a wildcard', { deadLetter: { subject: 'dead.*' } }],
    ['a dead letter subject that it receives itself', { subjects: 'dead.>', deadLetter: { subject: 'dead.stock' } }],
    ['a last attempt without a dead letter subject', { attemptsMax: 3 }],
    ['no concurrency', { concurrency: 0 }],
    ['half an acknowledgement', { ackPendingMax: 1.5 }],
    ['an inbox prefix with a wildcard', { inboxPrefix: '_INBOX.>' }],
  ])('refuses %s', (_, change) => {
    expect(() => compileOptions({ ...options, ...change })).toThrow(
      expect.objectContaining({ code: 'POSTCOMMIT_INVALID_OPTIONS' }),
    )
  })

  test('several subjects need a server that does not forget them in silence', () => {
    const subjects = ['a.>', 'b.*']
    expect(() => compileOptions({ ...options, subjects })).toThrow(
      expect.objectContaining({ code: 'POSTCOMMIT_UNSUPPORTED_SERVER' }),
    )
    const newer = { ...connection, info: { version: '2.10.1' } }
    expect(compileOptions({ ...options, connection: newer, subjects }).consumer.subjects).toEqual(subjects)
  })
})

describe('matches', () => {
  test.each([
    ['a.b', 'a.b', true],
    ['a.*', 'a.b', true],
    ['a.*', 'a.b.c', false],
    ['a.>', 'a.b.c', true],
    ['a.>', 'a', false],
    ['>', 'a', true],
    ['*.b', 'a.c', false],
    ['a.b.c', 'a.b', false],
  ])('%s covers %s: %s', (filter, subject, expected) => {
    expect(matches(filter, subject)).toBe(expected)
  })
})
