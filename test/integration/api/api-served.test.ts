import { createRelay } from '@postcommit/relay'
import { pino } from 'pino'
import { createRelayClient } from 'postcommit'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type ApiOptions, startApi } from '../../../relay/api/server.ts'
import { type TestApi, testApi } from '../../support/api.ts'
import { gidOf, NO_ADDRESSES, NO_SOURCES } from '../../support/coordinators.ts'
import { database, type TestDatabase } from '../../support/database.ts'

const UNKNOWN = { code: 'POSTCOMMIT_UNKNOWN_TRANSACTION' }
let db: TestDatabase
let api: TestApi

beforeAll(async () => {
  db = await database()
  api = await testApi(db.url)
})
afterAll(async () => {
  await api[Symbol.asyncDispose]()
  await db.drop()
})

const serve = (options: ApiOptions) =>
  startApi(
    { port: 0, ...options },
    {
      pool: api.pool,
      metrics: api.relay.metrics,
      log: pino({ level: 'silent' }),
      transactions: () => api.relay.transactions,
      targets: NO_ADDRESSES,
      ...NO_SOURCES,
    },
  )

describe('a limit for each tenant', () => {
  test('what is beyond it is put off with the time to wait, and nobody else is', async () => {
    const limited = await serve({ operationsPerSecond: 2 })
    const ask = async (key: string, operations: number) => {
      const query = { do: 'query', gid: gidOf('limited') }
      return await fetch(`${limited.url}/v1/transactions:batch`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', authorization: `Bearer ${key}` },
        body: JSON.stringify({ operations: Array.from({ length: operations }, () => query) }),
      })
    }
    const [busy, sameTenant, other] = [
      await api.key({ tenant: 'busy' }),
      await api.key({ tenant: 'busy' }),
      await api.key({ tenant: 'other' }),
    ]
    // More than there is for a second, and let in nevertheless.
    expect((await ask(busy, 10)).status).toBe(200)
    for (const key of [busy, sameTenant]) {
      const refused = await ask(key, 1)
      expect(refused.status).toBe(429)
      expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(1)
      expect(await refused.json()).toMatchObject({ code: 'POSTCOMMIT_RATE_LIMITED', status: 429, retryable: true })
    }
    expect((await ask(other, 1)).status).toBe(200)
    // Whoever has no key is told that, and not whose limit is reached.
    expect((await ask('', 1)).status).toBe(401)
    await limited.close()
  })

  test('the client waits as long as it is told to', async () => {
    const limited = await serve({ operationsPerSecond: 4 })
    const client = createRelayClient({ url: limited.url, apiKey: await api.key({ tenant: 'patient' }) })
    const asked = Array.from({ length: 3 }, async () => {
      await client.query('limited').catch((error: unknown) => expect(error).toMatchObject(UNKNOWN))
    })
    await Promise.all(asked)
    for (let n = 0; n < 4; n += 1) await expect(client.query('limited')).rejects.toMatchObject(UNKNOWN)
    await client.close()
    await limited.close()
  })

  test.each([0, -1, Number.NaN])('%d is none', (operationsPerSecond) => {
    const api = { operationsPerSecond }
    expect(() => createRelay({ db: db.url, coordinator: { database: 'main' }, api })).toThrow('not at least 1')
  })
})

describe('a relay in a service', () => {
  test('serves its API, says where, and stops with it', async () => {
    await using own = await database()
    const relay = createRelay({ db: own.url, coordinator: { database: 'main' }, api: { port: 0, auth: 'none' } })
    const { api: url = '' } = await relay.listen()
    expect((await fetch(`${url}/readyz`)).status).toBe(503)
    await relay.start()
    expect((await fetch(`${url}/readyz`)).status).toBe(200)
    const client = createRelayClient({ url })
    await expect(client.query('nobody')).rejects.toMatchObject(UNKNOWN)
    await client.close()
    await relay.stop()
    await expect(fetch(`${url}/readyz`)).rejects.toThrow()
  })

  test('refuses what cannot be', () => {
    const coordinator = { database: 'main' }
    expect(() => createRelay({ db: db.url, coordinator, api: { host: '0.0.0.0', auth: 'none' } })).toThrow(
      'POSTCOMMIT_API_EXPOSED',
    )
    expect(() => createRelay({ db: db.url, api: {} })).toThrow('api needs coordinator')
  })
})

test('a relay shows all of its databases, asks which one is meant, and ends its events when it stops', async () => {
  await using own = await database()
  await using other = await database()
  const relay = createRelay({
    databases: { shop: own.url, mail: other.url },
    coordinator: { database: 'shop' },
    api: { port: 0, auth: 'none' },
    drainMs: 500,
  })
  const { api: url } = await relay.listen()
  await relay.start()
  await other.pool.query(`insert into postcommit.delivery (gid, branch, destination, target, slot, payload, state)
values ('in-mail', 1, 'stock', '/', 0, '{}', 'dead')`)
  const ask = async (path: string) => (await fetch(`${url}${path}`)).json()
  expect(await ask('/v1/overview')).toMatchObject({
    broker: { configured: false, connected: null },
    sources: [
      { source: 'shop', deliveries: [], relays: [{ alive: true }] },
      { source: 'mail', deliveries: [{ state: 'dead', count: 1 }] },
    ],
  })
  expect(await ask('/v1/dead-letters')).toMatchObject({
    code: 'POSTCOMMIT_UNKNOWN_SOURCE',
    detail: expect.stringContaining('shop, mail'),
  })
  expect(await ask('/v1/dead-letters?source=mail')).toMatchObject({ deadLetters: [{ gid: 'in-mail' }] })
  expect(await ask('/v1/messages/in-mail')).toMatchObject({ sources: [{ source: 'mail' }] })
  const events = (await fetch(`${url}/v1/events`)).text()
  await relay.stop()
  expect(await events).toContain('event: end')
})
