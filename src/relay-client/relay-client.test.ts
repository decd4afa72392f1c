import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { eventually } from '../../test/support/eventually.ts'
import { type Mischief, type RelayDouble, relayDouble } from '../../test/support/relay-double.ts'
import { PostcommitError } from '../protocol/errors.ts'
import type { TransactionDefinition } from '../protocol/transaction-definition.ts'
import { createRelayClient, type RelayClient, type RelayClientOptions } from './relay-client.ts'

let double: RelayDouble
let clients: RelayClient[]

beforeEach(async () => {
  double = await relayDouble()
  clients = []
})
afterEach(async () => {
  double.misbehave(() => undefined)
  await Promise.all(clients.map((client) => client.close()))
  await double[Symbol.asyncDispose]()
})

function client(options: Partial<RelayClientOptions> = {}): RelayClient {
  const opened = createRelayClient({ url: double.url, ...options })
  clients.push(opened)
  return opened
}

const message: TransactionDefinition = {
  mode: 'msg',
  branches: [{ branch: '1', ops: { action: { url: 'http://stock/deduct' } }, payload: '{"a":"é"}' }],
  backQuery: { target: { url: 'http://orders/back-query' } },
}
const saga: TransactionDefinition = {
  mode: 'saga',
  branches: [
    { branch: 'order', ops: { action: { url: 'http://o/create' }, compensate: { url: 'http://o/revert' } } },
    { branch: 'stock', ops: { action: { url: 'http://s/deduct' }, compensate: { url: 'http://s/revert' } } },
  ],
}
const code = async (promise: Promise<unknown>) =>
  promise.then(
    () => 'resolved',
    (error: unknown) => (error instanceof PostcommitError ? error.code : error),
  )
const numbers = (n: number) => Array.from({ length: n }, (_, index) => index)

describe('operations', () => {
  test('are carried out, and those of the same gid may be repeated', async () => {
    const relay = client()
    expect(await relay.prepare('g', message)).toEqual({ outcome: 'pending', gid: 'g', status: 'prepared' })
    expect(await relay.prepare('g', message)).toEqual({ outcome: 'pending', gid: 'g', status: 'prepared' })
    expect(await relay.submit('g')).toEqual({ outcome: 'pending', gid: 'g', status: 'submitted' })
    expect(await relay.submit('g')).toEqual({ outcome: 'pending', gid: 'g', status: 'submitted' })
    double.finish('g', 'succeed')
    expect(await relay.query('g')).toEqual({ outcome: 'done', gid: 'g', status: 'succeed' })
    await relay.prepare('h', message)
    expect(await relay.abort('h', 'changed my mind')).toMatchObject({ outcome: 'failed' })
    await relay.prepare('t', { mode: 'tcc', branches: [] })
    const branch = { branch: '01', ops: { confirm: { url: 'http://a/c' }, cancel: { url: 'http://a/x' } } }
    expect(await relay.registerBranch('t', 'tcc', branch, { ended: ['00'] })).toMatchObject({ status: 'prepared' })
    expect(double.transactions.get('t')?.ended).toEqual(['00'])
    expect(double.transactions.get('t')?.definition.branches).toEqual([branch])
    expect(double.transactions.get('g')?.definition).toEqual(message)
  })

  test('a saga is started under a gid that is drawn, or under the one that is given', async () => {
    const relay = client()
    const { gid } = await relay.submitSaga(saga)
    expect(double.transactions.get(gid)).toMatchObject({ status: 'submitted', definition: saga })
    expect(await relay.submitSaga(saga, { gid: 'mine', waitMs: 5000 })).toMatchObject({ gid: 'mine' })
  })

  test('what the relay refuses is thrown with its code', async () => {
    const relay = client()
    expect(await code(relay.submit('nobody'))).toBe('POSTCOMMIT_UNKNOWN_TRANSACTION')
    await relay.prepare('g', message)
    expect(await code(relay.prepare('g', { ...message, name: 'other' }))).toBe('POSTCOMMIT_GID_CONFLICT')
    await relay.abort('g')
    await expect(relay.submit('g')).rejects.toMatchObject({
      code: 'POSTCOMMIT_TRANSACTION_DECIDED',
      gid: 'g',
      message: expect.stringContaining('failed'),
    })
    double.misbehave(() => ({
      refuse: ({ gid }) => ({ outcome: 'refused', gid, code: 'POSTCOMMIT_FROM_2030', message: 'no', retryable: false }),
    }))
    await expect(relay.query('g')).rejects.toMatchObject({
      code: 'POSTCOMMIT_RELAY_REFUSED',
      message: expect.stringContaining('no (POSTCOMMIT_FROM_2030)'),
    })
  })

  test('what is wrong already here is not sent', async () => {
    const relay = client()
    expect(await code(relay.submit('no gid'))).toBe('POSTCOMMIT_INVALID_GID')
    expect(await code(relay.submit('g', undefined, { waitMs: -1 }))).toBe('POSTCOMMIT_INVALID_OPTIONS')
    expect(await code(relay.submitSaga({ mode: 'saga', branches: [...saga.branches, ...saga.branches] }))).toBe(
      'POSTCOMMIT_INVALID_TRANSACTION',
    )
    const payload = '1'.repeat(900_000)
    const huge = { ...message, branches: numbers(10).map((n) => ({ branch: `${n}`, ops: {}, payload })) }
    expect(await code(relay.prepare('g', huge))).toBe('POSTCOMMIT_INVALID_TRANSACTION')
    expect(double.requests).toEqual([])
  })
})

describe('requests', () => {
  test('calls at the same time share one', async () => {
    const relay = client()
    const answers = await Promise.all(numbers(200).map((n) => relay.prepare(`g${n}`, message)))
    expect(answers.map(({ gid }) => gid)).toEqual(numbers(200).map((n) => `g${n}`))
    expect(double.requests.map(({ operations }) => operations.length)).toEqual([200])
  })

  test('at most two are under way, and what is asked for meanwhile goes with the next', async () => {
    const relay = client()
    let letGo: () => void = () => undefined
    const gate = new Promise<void>((resolve) => {
      letGo = resolve
    })
    double.misbehave(() => gate.then(() => undefined))
    const asked = [relay.prepare('a', message)]
    await eventually(() => expect(double.requests).toHaveLength(1))
    asked.push(relay.prepare('b', message))
    await eventually(() => expect(double.requests).toHaveLength(2))
    asked.push(...numbers(10).map((n) => relay.prepare(`g${n}`, message)))
    await new Promise((resolve) => setTimeout(resolve, 50))
    expect(double.requests).toHaveLength(2)
    letGo()
    await Promise.all(asked)
    expect(double.requests.map(({ operations }) => operations.length)).toEqual([1, 1, 10])
    const single = client({ operationsPerRequestMax: 1 })
    let underWay = 0
    let most = 0
    double.misbehave(async () => {
      most = Math.max(most, ++underWay)
      await new Promise((resolve) => setTimeout(resolve, 10))
      underWay -= 1
      return undefined
    })
    await Promise.all(numbers(10).map((n) => single.query(`g${n}`)))
    expect(most).toBe(2)
  })

  test('none has more operations or bytes than allowed', async () => {
    const relay = client({ operationsPerRequestMax: 3 })
    await Promise.all(numbers(10).map((n) => relay.prepare(`g${n}`, message)))
    expect(double.requests.map(({ operations }) => operations.length)).toEqual([3, 3, 3, 1])
    const payload = '1'.repeat(900_000)
    const large = { ...message, branches: [{ branch: '1', ops: { action: { url: 'http://a/' } }, payload }] }
    const other = client()
    const before = double.requests.length
    await Promise.all(numbers(12).map((n) => other.prepare(`i${n}`, large)))
    const sizes = double.requests.slice(before).map(({ operations }) => operations.length)
    expect(sizes.sort()).toEqual([3, 9])
  })

  test('an answer that waits holds up nobody', async () => {
    const relay = client()
    double.misbehave(async ({ operations }) => {
      if (operations.some((operation) => 'waitMs' in operation)) await new Promise((go) => setTimeout(go, 300))
      return undefined
    })
    const order: string[] = []
    await Promise.all([
      relay.submitSaga(saga, { waitMs: 1000 }).then(() => order.push('waited')),
      relay.prepare('g', message).then(() => order.push('prepared')),
      relay.prepare('h', message).then(() => order.push('prepared')),
      relay.prepare('i', message).then(() => order.push('prepared')),
    ])
    expect(order.at(-1)).toBe('waited')
  })

  test('carry the key, and an address may have a base path', async () => {
    await using guarded = await relayDouble({ apiKey: 'secret' })
    expect(await code(client({ url: guarded.url }).query('g'))).toBe('POSTCOMMIT_RELAY_REFUSED')
    expect(await code(client({ url: guarded.url, apiKey: 'wrong' }).query('g'))).toBe('POSTCOMMIT_RELAY_REFUSED')
    const relay = client({ url: `${guarded.url}/base`, apiKey: 'secret' })
    expect(await relay.prepare('g', message)).toMatchObject({ status: 'prepared' })
    expect(guarded.requests).toHaveLength(1)
  })
})

describe('trouble', () => {
  const sometimes: readonly (readonly [string, Mischief])[] = [
    ['the connection dies before the request', 'lose-request'],
    ['the connection dies before the answer', 'lose-answer'],
    ['nothing is answered', 'hang'],
    ['it is overloaded', { status: 503, headers: { 'retry-after': '0' } }],
    ['a proxy says that all is well', { status: 200, body: '<html>Welcome</html>' }],
    [
      'an answer is for somebody else',
      { status: 200, body: '{"results":[{"outcome":"done","gid":"x","status":"succeed"}]}' },
    ],
    ['it answers fewer than it was asked', { status: 200, body: '{"results":[]}' }],
    [
      'it puts the operations off',
      { refuse: ({ gid }) => ({ outcome: 'refused', gid, code: 'X', message: 'busy', retryable: true }) },
    ],
  ]

  test.each(sometimes)(
    '%s: it is asked again with the same gid, and every caller gets an answer',
    async (_, mischief) => {
      const relay = client({ requestTimeoutMs: 200 })
      double.misbehave((_request, n) => (n <= 2 ? mischief : undefined))
      const answers = await Promise.all(numbers(20).map((n) => relay.submit(`g${n}`, message)))
      expect(answers.map(({ gid, status }) => [gid, status])).toEqual(numbers(20).map((n) => [`g${n}`, 'submitted']))
      expect(double.transactions.size).toBe(20)
      expect(double.requests.length).toBeGreaterThan(2)
    },
  )

  test.each(sometimes)('%s for ever: it is given up in time, with a code', async (_, mischief) => {
    const relay = client({ requestTimeoutMs: 200, timeoutMs: 400 })
    double.misbehave(() => mischief)
    const from = performance.now()
    const codes = await Promise.all(numbers(5).map((n) => code(relay.submit(`g${n}`, message))))
    expect(codes).toEqual(Array(5).fill('POSTCOMMIT_RELAY_UNREACHABLE'))
    expect(performance.now() - from).toBeLessThan(1500)
  })

  test('a relay that is not there is given up in time', async () => {
    const relay = client({ url: 'http://127.0.0.1:1', timeoutMs: 300 })
    await expect(relay.query('g')).rejects.toMatchObject({
      code: 'POSTCOMMIT_RELAY_UNREACHABLE',
      message: expect.stringContaining('ECONNREFUSED'),
      retryable: true,
    })
  })

  test('an operation that cannot be read does not take others down with it', async () => {
    const relay = client()
    const good = numbers(4).map((n) => relay.prepare(`g${n}`, message))
    const bad = relay.prepare('bad', { ...message, branches: [] })
    expect(await code(bad)).toBe('POSTCOMMIT_RELAY_REFUSED')
    expect((await Promise.all(good)).map(({ status }) => status)).toEqual(Array(4).fill('prepared'))
  })

  test('closing waits for what is under way and takes nothing more', async () => {
    const relay = client()
    double.misbehave((_request, n) => (n === 1 ? 'lose-answer' : undefined))
    const asked = relay.prepare('g', message)
    const closed = relay.close()
    expect(await code(relay.query('g'))).toBe('POSTCOMMIT_RELAY_CLIENT_CLOSED')
    await closed
    expect(await asked).toMatchObject({ status: 'prepared' })
  })
})

test.each<Partial<RelayClientOptions>>([
  { url: 'relay:8484' },
  { url: 'http://me:pass@relay' },
  { url: 'http://relay/?x=1' },
  { apiKey: 'two words' },
  { requestsInFlightMax: 0 },
  { operationsPerRequestMax: 501 },
  { timeoutMs: 0.5 },
])('%j is refused', (options) => {
  const open = () => createRelayClient({ url: 'http://relay', ...options })
  expect(open).toThrow(expect.objectContaining({ code: 'POSTCOMMIT_INVALID_OPTIONS' }))
})
