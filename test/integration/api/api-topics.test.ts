import { createRelayClient, type RelayClient } from 'postcommit'
import { saga } from 'postcommit/transactions'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { type TestApi, testApi } from '../../support/api.ts'
import { gidOf } from '../../support/coordinators.ts'
import { database, type TestDatabase } from '../../support/database.ts'
import { type HttpService, httpService } from '../../support/http-service.ts'

let db: TestDatabase
let service: HttpService
let api: TestApi
let relay: RelayClient
let answer: (path: string) => number = () => 204
let from = 0

beforeAll(async () => {
  db = await database()
  service = await httpService(({ path }) => answer(path))
  api = await testApi(db.url, {
    destinations: { stock: { url: service.url, backOff: { baseMs: 20, capMs: 100 } } },
  })
  relay = createRelayClient({ url: api.url, apiKey: await api.key() })
})
beforeEach(() => {
  answer = () => 204
  from = service.calls.length
})
afterAll(async () => {
  await relay.close()
  await api[Symbol.asyncDispose]()
  await service[Symbol.asyncDispose]()
  await db.drop()
})

const paths = () => service.calls.slice(from).map(({ path }) => path)
const subscribe = (topic: string, target: string) =>
  api.request('POST', `/v1/topics/${topic}:subscribe`, { body: { target } })

test('a message goes to all that have subscribed by the time it is carried out', async () => {
  const topic = gidOf('placed')
  const gid = gidOf('message')
  const branches = [
    { branch: 'all', ops: { action: { topic } }, payload: '{"n":1}' },
    { branch: 'one', ops: { action: { destination: 'stock', path: '/one' } }, payload: '{}', after: [] },
  ]
  await subscribe(topic, 'stock/a')
  const backQuery = { target: { destination: 'stock', path: '/back-query' } }
  await relay.prepare(gid, { mode: 'msg', branches, backQuery })
  await subscribe(topic, 'stock/b')
  expect(await relay.submit(gid, undefined, { waitMs: 10_000 })).toMatchObject({ outcome: 'done' })
  expect(paths().toSorted()).toEqual(['/a', '/b', '/one'])
  expect(service.calls.slice(from).find(({ path }) => path === '/b')).toMatchObject({
    body: Buffer.from('{"n":1}'),
    headers: { 'postcommit-gid': gid },
  })
})

test('a step of a saga that only goes forward goes to a topic, and the next one waits for all of it', async () => {
  const topic = gidOf('paid')
  await subscribe(topic, 'stock/a')
  await subscribe(topic, 'stock/b')
  let refusals = 2
  answer = (path) => (path === '/b' && refusals-- > 0 ? 409 : 204)
  const paid = saga('paid')
    .step('pay', { do: 'stock/pay', undo: 'stock/unpay', data: 1 })
    .step('tell', { do: { topic }, retryOnly: true, data: 2 })
    .step('end', { do: 'stock/end', retryOnly: true, data: 3 })
    .define()
  expect(await relay.submitSaga(paid, { waitMs: 20_000 })).toMatchObject({ outcome: 'done' })
  expect(paths().at(0)).toBe('/pay')
  expect(paths().at(-1)).toBe('/end')
  expect(paths().toSorted()).toEqual(['/a', '/b', '/b', '/b', '/end', '/pay'])
})

test('a check that goes to a topic fails with the first that refuses, and what was done before is undone', async () => {
  const topic = gidOf('check')
  await subscribe(topic, 'stock/a')
  await subscribe(topic, 'stock/b')
  answer = (path) => (path === '/b' ? 409 : 204)
  const checked = saga('checked')
    .step('take', { do: 'stock/take', undo: 'stock/give', data: 1 })
    .step('ask', { do: { topic }, leavesNothing: true, data: 2 })
    .step('pay', { do: 'stock/pay', pivot: true, data: 3 })
    .define()
  expect(await relay.submitSaga(checked, { waitMs: 20_000 })).toMatchObject({ outcome: 'failed' })
  expect(paths().at(-1)).toBe('/give')
  expect(paths()).not.toContain('/pay')
})

test.each([
  ['stock', 204],
  ['stock/a', 204],
  ['nats:order.placed', 204],
  ['nats:$JS.API.STREAM.DELETE.X', 400],
  ['nats:a b', 400],
  ['nats:order.*', 400],
  ['stock/../admin', 400],
  ['topic://other', 400],
  ['nats', 400],
  ['mailto:x', 400],
  ['http://user@host/', 400],
  ['http://169.254.169.254/', 403],
])('whether %s may subscribe: %d', async (target, status) => {
  const { status: answered } = await subscribe(gidOf('target'), target)
  expect(answered === 200 ? 204 : answered).toBe(status)
})
