import { describe, expect, test } from 'vitest'
import { readPublishAck } from './publish-ack.ts'

const error = (errCode: number) => JSON.stringify({ error: { code: 503, err_code: errCode, description: 'said so' } })

describe('readPublishAck', () => {
  test('an acknowledgement names stream and sequence', () => {
    const acked = { kind: 'acked', stream: 'ORDERS', sequence: 7, duplicate: false }
    expect(readPublishAck(0, '{"stream":"ORDERS","seq":7}')).toEqual(acked)
    expect(readPublishAck(0, '{"stream":"ORDERS","seq":7,"duplicate":true}')).toEqual({ ...acked, duplicate: true })
  })

  test('no responders: no stream takes the subject, or JetStream is away', () => {
    expect(readPublishAck(503, '')).toEqual({ kind: 'no-responders' })
  })

  test.each([
    // A leader that was cut off from its peers: 2.10.14 to 2.10.29, and what 2.11.9 and 2.12.2 answer instead.
    ['{"stream":"ORDERS","seq":0,"duplicate":true}'],
    ['{"stream":"ORDERS", "seq":0,"duplicate": true}'],
    [
      '{"error":{"code":409,"err_code":10158,"description":"duplicate message id is in process"},"stream":"ORDERS","seq":0}',
    ],
    ['{"stream":"ORDERS","seq":-1}'],
    ['{"stream":"ORDERS","seq":1.5}'],
    [error(10023)],
    [error(10008)],
    [error(10003)],
  ])('%s: whether it was stored is not known', (body) => {
    expect(readPublishAck(0, body).kind).toBe('unknown')
  })

  test('an error is none the less one for the number that stands beside it', () => {
    const body =
      '{"error":{"code":503,"err_code":10077,"description":"maximum messages exceeded"},"stream":"ORDERS","seq":9}'
    const text = 'maximum messages exceeded (10077)'
    expect(readPublishAck(0, body)).toEqual({ kind: 'withheld', cause: 'full', stream: 'ORDERS', error: text })
  })

  test('a stream that is full for one subject says nothing about its other subjects', () => {
    const description = 'maximum messages per subject exceeded'
    const body = JSON.stringify({ error: { code: 503, err_code: 10077, description }, stream: 'ORDERS', seq: 0 })
    expect(readPublishAck(0, body)).toMatchObject({ kind: 'withheld', cause: 'full', stream: undefined })
  })

  test('a sealed stream is withheld, not refused: the messages wait for another one', () => {
    expect(readPublishAck(0, error(10109))).toMatchObject({ kind: 'withheld', cause: 'sealed' })
  })

  test('a message that is too large for its stream is refused', () => {
    expect(readPublishAck(0, error(10054))).toEqual({ kind: 'refused', error: 'said so (10054)', status: 503 })
  })

  test.each([
    '',
    'null',
    '[]',
    '{"stream":"A"}',
    '{"seq":1}',
    '{"stream":"","seq":1}',
    '{"stream":7,"seq":1}',
    '{"stream":"A","seq":"1"}',
    '{"stream":"A","duplicate":true}',
    '{"error":"no"}',
    '{"error":null,"stream":"A","seq":1}',
    '{"ok":true}',
    '<html>',
  ])('an answer like %j is none of JetStream', (body) => {
    expect(readPublishAck(0, body).kind).toBe('foreign')
  })

  test('nor is one with a status that JetStream does not use', () => {
    expect(readPublishAck(400, '{"stream":"ORDERS","seq":7}').kind).toBe('foreign')
  })

  test.each([
    // Recorded of 2.10.29, 2.11.9 and 2.12.2, which answer alike but for a space.
    ['{"stream":"F", "seq":1}', { kind: 'acked', stream: 'F', sequence: 1 }],
    ['{"stream":"F","seq":1}', { kind: 'acked', stream: 'F', sequence: 1 }],
    [
      '{"error":{"code":503,"err_code":10077,"description":"maximum messages exceeded"},"stream":"F","seq":0}',
      { kind: 'withheld', cause: 'full', stream: 'F' },
    ],
    [
      '{"error":{"code":503,"err_code":10077,"description":"maximum messages per subject exceeded"},"stream":"P","seq":0}',
      { kind: 'withheld', cause: 'full', stream: undefined },
    ],
    [
      '{"error":{"code":400,"err_code":10109,"description":"invalid operation on sealed stream"},"stream":"S","seq":0}',
      { kind: 'withheld', cause: 'sealed', stream: 'S' },
    ],
  ])('as newer servers answer: %s', (body, answer) => {
    expect(readPublishAck(0, body)).toMatchObject(answer)
  })
})
