import { randomUUID } from 'node:crypto'
import { createRelayClient, type RelayClient } from 'postcommit'
import { saga } from 'postcommit/transactions'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type TestApi, testApi } from '../../support/api.ts'
import { messageTo } from '../../support/coordinators.ts'
import { database, type TestDatabase } from '../../support/database.ts'
import { eventually } from '../../support/eventually.ts'
import { type HttpService, httpService } from '../../support/http-service.ts'

let db: TestDatabase
let stock: HttpService
let api: TestApi
let client: RelayClient

beforeAll(async () => {
  db = await database()
  stock = await httpService(({ path }) => (path.startsWith('/refuses') ? 409 : path.startsWith('/fails') ? 500 : 204))
  api = await testApi(db.url, {
    destinations: { stock: { url: stock.url, backOff: { baseMs: 20, capMs: 100 } } },
  })
  client = createRelayClient({ url: api.url, apiKey: await api.key() })
})
afterAll(async () => {
  await client.close()
  await api[Symbol.asyncDispose]()
  await stock[Symbol.asyncDispose]()
  await db.drop()
})

const gid = (name: string) => `${name}-${randomUUID().slice(0, 8)}`
const called = (of: string) => stock.calls.filter(({ headers }) => Object.values(headers).includes(of)).length

describe('POST /v1/transactions:batch', () => {
  test('answers each operation in its place; those of one gid one after the other', async () => {
    const [a, b, c] = [gid('a'), gid('b'), gid('c')]
    const { status, body, headers } = await api.request('POST', '/v1/transactions:batch', {
      body: {
        operations: [
          { do: 'prepare', gid: a, transaction: messageTo() },
          { do: 'query', gid: b },
          { do: 'submit', gid: a },
          { do: 'prepare', gid: c, transaction: messageTo() },
          { do: 'abort', gid: c, reason: 'changed my mind' },
          { do: 'submit', gid: c },
          { do: 'query', gid: a, waitMs: 5000 },
        ],
      },
    })
    expect(status).toBe(200)
    expect(headers.get('content-type')).toBe('application/json; charset=utf-8')
    expect(body.results).toEqual([
      { outcome: 'pending', gid: a, status: 'prepared' },
      expect.objectContaining({ outcome: 'refused', gid: b, code: 'POSTCOMMIT_UNKNOWN_TRANSACTION', retryable: false }),
      { outcome: 'pending', gid: a, status: 'submitted' },
      { outcome: 'pending', gid: c, status: 'prepared' },
      expect.objectContaining({ outcome: 'failed', gid: c, status: 'failed' }),
      expect.objectContaining({ outcome: 'refused', code: 'POSTCOMMIT_TRANSACTION_DECIDED', status: 'failed' }),
      { outcome: 'done', gid: a, status: 'succeed' },
    ])
    expect(called(a)).toBe(1)
  })

  test('the same again is answered the same; other content is a conflict', async () => {
    const one = gid('same')
    const prepare = { do: 'prepare', gid: one, transaction: messageTo() }
    const other = { do: 'prepare', gid: one, transaction: messageTo({ name: 'other' }) }
    for (let round = 0; round < 3; round += 1) {
      const { body } = await api.request('POST', '/v1/transactions:batch', {
        body: { operations: [prepare, prepare, other] },
      })
      expect(body.results).toEqual([
        { outcome: 'pending', gid: one, status: 'prepared' },
        { outcome: 'pending', gid: one, status: 'prepared' },
        expect.objectContaining({ outcome: 'refused', code: 'POSTCOMMIT_GID_CONFLICT' }),
      ])
    }
  })

  test('one that cannot be read refuses all, and says where', async () => {
    const { status, body } = await api.request('POST', '/v1/transactions:batch', {
      body: {
        operations: [
          { do: 'query', gid: gid('fine') },
          { do: 'submit', gid: 'not a gid' },
        ],
      },
    })
    expect(status).toBe(400)
    expect(body).toMatchObject({ code: 'POSTCOMMIT_INVALID_REQUEST', status: 400, retryable: false })
    expect(body.detail).toContain('operations[1].gid')
  })

  test('200 clients with one gid: one transaction, called once, and everybody is told how it ended', async () => {
    const one = gid('storm')
    const answers = await Promise.all(
      Array.from({ length: 200 }, () =>
        api.request('POST', '/v1/transactions:batch', {
          body: { operations: [{ do: 'submit', gid: one, transaction: messageTo(), waitMs: 20_000 }] },
        }),
      ),
    )
    expect(answers.map(({ body }) => body.results[0])).toEqual(
      Array(200).fill({ outcome: 'done', gid: one, status: 'succeed' }),
    )
    expect(called(one)).toBe(1)
  })
})

describe('one operation a request', () => {
  test('prepare, submit, outcome', async () => {
    const one = gid('single')
    const at = (verb: string) => `/v1/transactions/${one}:${verb}`
    expect(await api.request('POST', at('prepare'), { body: { transaction: messageTo() } })).toMatchObject({
      status: 202,
      body: { outcome: 'pending', gid: one, status: 'prepared' },
    })
    expect(await api.request('GET', at('outcome'))).toMatchObject({ status: 202, body: { status: 'prepared' } })
    expect((await api.request('POST', at('submit'))).status).toBe(202)
    expect(await api.request('GET', `${at('outcome')}?waitMs=5000`)).toMatchObject({
      status: 200,
      body: { outcome: 'done', gid: one, status: 'succeed' },
    })
    expect(await api.request('POST', at('abort'), { body: { reason: 'too late' } })).toMatchObject({
      status: 409,
      body: { code: 'POSTCOMMIT_TRANSACTION_DECIDED', gid: one, transactionStatus: 'succeed' },
    })
  })

  test('abort, and a colon that a client has escaped', async () => {
    const one = gid('escaped')
    await api.request('POST', `/v1/transactions/${one}%3Aprepare`, { body: { transaction: messageTo() } })
    expect(await api.request('POST', `/v1/transactions/${one}:abort`, { body: { reason: 'no' } })).toMatchObject({
      status: 200,
      body: { outcome: 'failed', reason: 'no' },
    })
  })

  test('a branch is registered with a prepared transaction only', async () => {
    const one = gid('tcc')
    const ops = {
      confirm: { destination: 'stock', path: '/confirm' },
      cancel: { destination: 'stock', path: '/cancel' },
    }
    const register = () =>
      api.request('POST', `/v1/transactions/${one}:registerBranch`, {
        body: { mode: 'tcc', branch: { branch: '01', ops, payload: '{}' } },
      })
    expect((await register()).status).toBe(404)
    await api.request('POST', `/v1/transactions/${one}:prepare`, {
      body: { transaction: { mode: 'tcc', branches: [] } },
    })
    expect(await register()).toMatchObject({ status: 202, body: { status: 'prepared' } })
    await api.request('POST', `/v1/transactions/${one}:abort`)
    expect((await register()).body.code).toBe('POSTCOMMIT_TRANSACTION_DECIDED')
  })

  test('the address says which transaction, not the body', async () => {
    const path = `/v1/transactions/${gid('body')}:submit`
    for (const body of [{ gid: 'x' }, { do: 'abort' }, { transaction: messageTo(), wait: 1 }, [], 7, 'null', '{']) {
      expect(await api.request('POST', path, { body })).toMatchObject({
        status: 400,
        body: { code: 'POSTCOMMIT_INVALID_REQUEST' },
      })
    }
  })
})

describe('the client of the SDK', () => {
  test('prepares, submits, and learns the end', async () => {
    const one = gid('sdk')
    expect(await client.prepare(one, messageTo())).toMatchObject({ outcome: 'pending', status: 'prepared' })
    expect(await client.submit(one, undefined, { waitMs: 5000 })).toMatchObject({ outcome: 'done', status: 'succeed' })
    expect(await client.query(one)).toMatchObject({ outcome: 'done' })
    await expect(client.abort(one)).rejects.toMatchObject({ code: 'POSTCOMMIT_TRANSACTION_DECIDED' })
  })

  test('three answers of a wait: done, failed, pending', async () => {
    const order = (path: `/${string}`) => saga('order').step('one', { do: `stock${path}`, undo: 'stock/undo' })
    const wait = (path: `/${string}`, waitMs: number) =>
      client.submitSaga(order(path).define(), { gid: gid('saga'), waitMs })
    const [done, failed, pending] = await Promise.all([wait('/ok', 5000), wait('/refuses', 5000), wait('/fails', 300)])
    expect(done).toMatchObject({ outcome: 'done', status: 'succeed' })
    expect(failed).toMatchObject({ outcome: 'failed', status: 'failed', reason: expect.stringContaining('one') })
    expect(pending).toMatchObject({ outcome: 'pending', status: 'submitted' })
  })

  test('a thousand at once share requests and statements', async () => {
    const gids = Array.from({ length: 1000 }, (_, n) => gid(`many${n}`))
    const answers = await Promise.all(gids.map((one) => client.submit(one, messageTo())))
    expect(answers.map(({ gid: of }) => of)).toEqual(gids)
    await eventually(async () => expect((await client.query(gids[999] ?? '')).outcome).toBe('done'), {
      timeoutMs: 20_000,
    })
  })
})
