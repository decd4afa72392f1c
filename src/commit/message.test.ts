import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import type { StandardSchema } from '../standard-schema.ts'
import { draftMessages } from './message.ts'

const open = (schemas?: Record<string, StandardSchema>) => draftMessages(schemas, { payloadBytesMax: 1000 })
const refusal = (code: string) => expect.objectContaining({ code })

describe('draftMessages', () => {
  test('numbers messages in the order they were added', async () => {
    const { draft, collect } = open()
    draft.publish('a.b', 1, { key: 'k' }).call('stock', '/x', 2)
    expect(await collect()).toEqual([
      { kind: 'publish', branch: 1, target: 'a.b', key: 'k', headers: undefined, content: { text: '1' } },
      {
        kind: 'delivery',
        branch: 2,
        destination: 'stock',
        target: '/x',
        key: undefined,
        headers: undefined,
        content: { text: '2' },
        due: { delayMs: 0 },
      },
    ])
  })

  test.each([
    ['POSTCOMMIT_INVALID_KEY', { key: '' }],
    ['POSTCOMMIT_INVALID_KEY', { key: 'a\nb' }],
    ['POSTCOMMIT_INVALID_KEY', { key: 'x'.repeat(256) }],
    ['POSTCOMMIT_INVALID_KEY', { key: 7 as never }],
    ['POSTCOMMIT_INVALID_KEY', { key: '\ud800' }],
    ['POSTCOMMIT_INVALID_HEADER', { headers: { host: 'x' } }],
    ['POSTCOMMIT_INVALID_DELAY', { deliverAfter: -1 }],
    ['POSTCOMMIT_INVALID_DELAY', { deliverAfter: Number.NaN }],
    ['POSTCOMMIT_INVALID_DELAY', { deliverAfter: 400 * 86_400_000 }],
    ['POSTCOMMIT_INVALID_DELAY', { deliverAfter: new Date('x') }],
    ['POSTCOMMIT_INVALID_DELAY', { deliverAfter: new Date(8.64e15) }],
    ['POSTCOMMIT_INVALID_DELAY', { deliverAfter: '5s' as never }],
  ])('%s for %j, before anything is collected', async (code, options) => {
    const { draft, collect } = open()
    expect(() => draft.publish('a.b', 1, options)).toThrow(refusal(code))
    expect(() => draft.call('stock', '/', 1, options)).toThrow(refusal(code))
    expect(await collect()).toEqual([])
  })

  test('a schema checks the payload where it is added, and its output is what is sent', async () => {
    const { draft, collect } = open({
      'order.placed': z.object({ orderId: z.number(), currency: z.string().default('EUR') }),
    })
    draft.publish('order.placed', { orderId: 7, secret: 'dropped' })
    expect(() => draft.publish('order.placed', { orderId: '7' })).toThrow('orderId: ')
    expect(() => draft.publish('order.placed', {})).toThrow(refusal('POSTCOMMIT_SCHEMA_MISMATCH'))
    expect(() => draft.publish('order.canceled', {})).toThrow(refusal('POSTCOMMIT_UNKNOWN_MESSAGE'))
    expect(() => draft.publish('toString', {})).toThrow(refusal('POSTCOMMIT_UNKNOWN_MESSAGE'))
    expect((await collect()).map(({ content }) => content.text)).toEqual(['{"orderId":7,"currency":"EUR"}'])
  })

  test('an asynchronous schema is waited for', async () => {
    const schema = z.string().refine(async (text) => text !== 'bad')
    const good = open({ 'a.b': schema })
    good.draft.publish('a.b', 'good')
    expect(await good.collect()).toHaveLength(1)
    const bad = open({ 'a.b': schema })
    bad.draft.publish('a.b', 'bad')
    await expect(bad.collect()).rejects.toThrow(refusal('POSTCOMMIT_SCHEMA_MISMATCH'))
  })

  test('at most a thousand messages, none after it was collected', async () => {
    const { draft, collect } = open()
    for (let n = 0; n < 1000; n += 1) draft.publish('a.b', n)
    expect(() => draft.publish('a.b', 1000)).toThrow(refusal('POSTCOMMIT_TOO_MANY_MESSAGES'))
    expect(await collect()).toHaveLength(1000)
    expect(() => draft.publish('a.b', 1)).toThrow(refusal('POSTCOMMIT_MESSAGE_CLOSED'))
  })
})
