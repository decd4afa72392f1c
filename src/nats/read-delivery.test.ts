import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { NatsMessage } from './nats-connection.ts'
import { readDelivery } from './read-delivery.ts'

const envelope = {
  'Nats-Msg-Id': 'order-1:2',
  'postcommit-gid': 'order-1',
  'postcommit-branch': '2',
  'postcommit-key': 'caf%C3%A9%2F1',
  'content-type': 'application/json',
}

function message(headers: Record<string, string | undefined>, text = '{"sku":"a"}'): NatsMessage {
  const given = Object.entries(headers).filter((entry): entry is [string, string] => entry[1] !== undefined)
  const values = new Map(given)
  return {
    subject: 'orders.placed',
    reply: '$JS.ACK.ORDERS.stock.1.7.7.1795260917038309610.0',
    data: new TextEncoder().encode(text),
    headers: {
      code: 0,
      description: '',
      get: (name) => values.get(name) ?? '',
      has: (name) => values.has(name),
      keys: () => [...values.keys()],
    },
  }
}

describe('readDelivery', () => {
  test('reads envelope, payload and the sender’s headers', async () => {
    const delivery = await readDelivery({}, message({ ...envelope, 'X-Trace': 'abc', 'Nats-Expected-Stream': 'S' }), 3)
    expect(delivery).toEqual({
      id: 'order-1:2',
      gid: 'order-1',
      branch: 2,
      topic: 'orders.placed',
      key: 'café/1',
      attempt: 3,
      payload: { sku: 'a' },
      content: '{"sku":"a"}',
      headers: { 'x-trace': 'abc' },
      sequence: 7,
    })
  })

  test('bytes stay bytes', async () => {
    const { payload, content } = await readDelivery(
      {},
      message({ ...envelope, 'content-type': 'application/octet-stream' }),
      1,
    )
    expect(payload).toBe(content)
    expect(payload).toBeInstanceOf(Uint8Array)
  })

  test.each([
    ['no gid', { 'postcommit-gid': undefined }, 'postcommit-gid is missing'],
    ['no branch', { 'postcommit-branch': undefined }, 'postcommit-branch is missing'],
    ['a branch that is no number', { 'postcommit-branch': '2x' }, 'malformed'],
    ['a gid with other characters', { 'postcommit-gid': 'a b' }, 'malformed'],
    ['another id', { 'Nats-Msg-Id': 'order-2:2' }, 'another message'],
    ['a key that does not decode', { 'postcommit-key': '%' }, 'percent-encoded'],
    ['no content type', { 'content-type': undefined }, 'content-type is missing'],
    ['another content type', { 'content-type': 'text/plain' }, 'text/plain'],
  ])('refuses a message with %s', async (_, change, reason) => {
    const read = readDelivery({}, message({ ...envelope, ...change }), 1)
    await expect(read).rejects.toMatchObject({
      code: 'POSTCOMMIT_INVALID_DELIVERY',
      message: expect.stringContaining(reason),
    })
  })

  test('refuses content that is not the JSON it claims to be', async () => {
    await expect(readDelivery({}, message(envelope, '{"sku":'), 1)).rejects.toMatchObject({
      code: 'POSTCOMMIT_INVALID_DELIVERY',
    })
  })

  test('what a parse function throws is a mismatch', async () => {
    const parse = () => {
      throw new Error('sku is not a number')
    }
    await expect(readDelivery({ parse }, message(envelope), 1)).rejects.toMatchObject({
      code: 'POSTCOMMIT_DELIVERY_MISMATCH',
      message: expect.stringContaining('sku is not a number'),
    })
  })

  test('any headers and content are read or refused by a code, never by an accident', async () => {
    const headers = fc.dictionary(fc.constantFrom(...Object.keys(envelope), 'x'), fc.string())
    await fc.assert(
      fc.asyncProperty(headers, fc.string(), async (change, text) => {
        const result = await readDelivery({}, message({ ...envelope, ...change }, text), 1).catch(
          (error: unknown) => error,
        )
        if (result instanceof Error) expect(result).toMatchObject({ code: 'POSTCOMMIT_INVALID_DELIVERY' })
        else expect(result).toHaveProperty('gid')
      }),
    )
  })
})
