import type { BranchDefinition, TransactionDefinition } from 'postcommit/protocol'
import { describe, expect, test } from 'vitest'
import { outboxContentOf } from './outbox-content.ts'

const call: BranchDefinition = {
  branch: '1',
  ops: { action: { destination: 'stock', path: '/deduct' } },
  payload: '{"n":1}',
}
const publish: BranchDefinition = { branch: '2', ops: { action: { subject: 'order.placed' } }, payload: '"p"' }
const message = (...branches: BranchDefinition[]): TransactionDefinition => ({
  mode: 'msg',
  branches,
  options: { concurrent: true },
})
const messagesOf = (definition: TransactionDefinition) => JSON.parse(outboxContentOf(definition)?.json ?? 'null')

describe('what outbox.commit() announces goes to the outbox', () => {
  test('calls and publishes, with headers and keys', () => {
    const definition = message({ ...call, key: 'k', headers: { a: 'b' } }, { ...publish, key: 'k' })
    expect(messagesOf(definition)).toEqual([
      { branch: 1, destination: 'stock', target: '/deduct', key: 'k', headers: '{"a":"b"}', payload: '{"n":1}' },
      { branch: 2, target: 'order.placed', key: 'k', payload: '"p"' },
    ])
    expect(outboxContentOf(definition)?.keys).toEqual(['k'])
  })

  test('a delayed one has no place in the order of its key, and its receiver is told the key', () => {
    const delayed = { delayMs: 100, key: 'ké' }
    expect(messagesOf(message({ ...call, ...delayed }, { ...publish, ...delayed }))).toEqual([
      {
        ...{ branch: 1, destination: 'stock', target: '/deduct', payload: '{"n":1}', delayMs: 100 },
        headers: '{"postcommit-key":"k%C3%A9"}',
      },
      {
        ...{ branch: 2, destination: 'nats', target: 'order.placed', payload: '"p"', delayMs: 100 },
        headers: '{"postcommit-key":"k%C3%A9"}',
      },
    ])
  })

  test('bytes stay bytes', () => {
    expect(messagesOf(message({ branch: '1', ops: call.ops, payloadBase64: 'AP8=' }))).toEqual([
      { branch: 1, destination: 'stock', target: '/deduct', body: 'AP8=' },
    ])
  })

  test('a single message needs no word about its order', () => {
    expect(outboxContentOf({ mode: 'msg', branches: [call] })).toBeDefined()
  })
})

test.each<[string, TransactionDefinition]>([
  ['a saga', { ...message(call), mode: 'saga' }],
  ['nothing to send', message()],
  ['branches one after the other', { mode: 'msg', branches: [call, publish] }],
  ['a branch that waits for another', message(call, { ...publish, after: ['1'] })],
  ['a name that is no number', message({ ...call, branch: '01' })],
  ['limits of its own', { ...message(call), options: { concurrent: true, retry: { baseMs: 1, capMs: 2 } } }],
  ['an address', message({ ...call, ops: { action: { url: 'http://a/' } } })],
  ['a topic', message({ ...call, ops: { action: { topic: 'placed' } } })],
  ['no content', message({ branch: '1', ops: call.ops })],
  ['a text that is no JSON', message({ ...call, payload: 'hello' })],
])('%s is a plan of its own, for the coordinator', (_, definition) => {
  expect(outboxContentOf(definition)).toBeUndefined()
})
