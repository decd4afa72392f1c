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
    expect(readPublishAck(503, '')).toEqual({ kind: 'no-stream' })
  })

  test.each([10023, 10077, 10008, 10003])('error %i can pass: an outage, nothing is parked', (code) => {
    expect(readPublishAck(0, error(code)).kind).toBe('outage')
  })

  test('a message that is too large for its stream is refused', () => {
    expect(readPublishAck(0, error(10054))).toEqual({ kind: 'refused', error: 'said so (10054)', status: 503 })
  })

  test.each(['', 'null', '[]', '{"stream":"A"}', '<html>'])('an answer like %j proves nothing', (body) => {
    expect(readPublishAck(0, body).kind).toBe('outage')
  })
})
