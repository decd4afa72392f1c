import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseAckSubject } from './ack-subject.ts'

const stamp = '1795260917038309610'
const parsed = { stream: 'ORDERS', consumer: 'stock', deliveries: 2, sequence: 34, stamp }

describe('parseAckSubject', () => {
  test('reads the form of nats-server 2.9', () => {
    expect(parseAckSubject(`$JS.ACK.ORDERS.stock.2.34.41.${stamp}.7`)).toEqual(parsed)
  })

  test('reads the form with domain and account, with and without the token at its end', () => {
    expect(parseAckSubject(`$JS.ACK._.ACCHASH.ORDERS.stock.2.34.41.${stamp}.7`)).toEqual(parsed)
    expect(parseAckSubject(`$JS.ACK.hub.ACCHASH.ORDERS.stock.2.34.41.${stamp}.7.x9Yz`)).toEqual(parsed)
  })

  test.each([
    '',
    '_INBOX.abc.1',
    '$JS.API.CONSUMER.INFO.ORDERS.stock.2.34.41',
    `$JS.ACK.ORDERS.stock.2.34.41.${stamp}`,
    `$JS.ACK.ORDERS.stock.0.34.41.${stamp}.7`,
    `$JS.ACK.ORDERS.stock.2.x.41.${stamp}.7`,
    '$JS.ACK.ORDERS.stock.2.34.41.soon.7',
  ])('says nothing about %j', (subject) => {
    expect(parseAckSubject(subject)).toBeUndefined()
  })

  test('never throws', () => {
    fc.assert(
      fc.property(fc.array(fc.string()), (tokens) => {
        parseAckSubject(['$JS', 'ACK', ...tokens].join('.'))
      }),
    )
  })
})
