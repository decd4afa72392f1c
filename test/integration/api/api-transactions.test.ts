import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type TestApi, testApi } from '../../support/api.ts'
import { gidOf, messageTo, sagaOf } from '../../support/coordinators.ts'
import { database, type TestDatabase } from '../../support/database.ts'
import { eventually } from '../../support/eventually.ts'
import { type HttpService, httpService } from '../../support/http-service.ts'

let db: TestDatabase
let service: HttpService
let api: TestApi
/** What `/held` answers. */
let held = 500

beforeAll(async () => {
  db = await database()
  service = await httpService(({ path }) => (path === '/back-query' ? 404 : path === '/held' ? held : 204))
  const at = { url: service.url, backOff: { baseMs: 20, capMs: 100 } }
  api = await testApi(db.url, { destinations: { stock: at, orders: at } })
})
afterAll(async () => {
  await api[Symbol.asyncDispose]()
  await service[Symbol.asyncDispose]()
  await db.drop()
})

const submit = async (transaction: unknown, gid = gidOf('t'), key?: string) => {
  const body = { transaction }
  const answer = await api.request('POST', `/v1/transactions/${gid}:submit`, {
    body,
    ...(key !== undefined && { key }),
  })
  expect(answer.status).toBe(202)
  return gid
}
const prepare = async (transaction: unknown = messageTo(), gid = gidOf('p')) => {
  const { status } = await api.request('POST', `/v1/transactions/${gid}:prepare`, { body: { transaction } })
  expect(status).toBe(202)
  return gid
}
const show = async (gid: string) => (await api.request('GET', `/v1/transactions/${gid}`)).body
const act = (gid: string, verb: string, body: unknown = { reason: 'I say so' }) =>
  api.request('POST', `/v1/transactions/${gid}:${verb}`, { body })
const ended = (gid: string) => api.request('GET', `/v1/transactions/${gid}:outcome?waitMs=5000`)
const slow = { retry: { baseMs: 60_000, capMs: 60_000 } }

describe('looking', () => {
  test('a transaction with its branches and their attempts, and no payload', async () => {
    const gid = await submit(sagaOf(['one', 'held'], { retryLimit: 2 }))
    expect((await ended(gid)).body.outcome).toBe('failed')
    const story = await show(gid)
    expect(story).toMatchObject({ gid, mode: 'saga', status: 'failed', tenant: '', inDoubt: false, dueAt: null })
    const branches = story.branches.map((one: Record<string, unknown>) => [one['branch'], one['op'], one['status']])
    expect(branches).toContainEqual(['one', 'action', 'succeed'])
    expect(branches).toContainEqual(['one', 'compensate', 'succeed'])
    expect(story.attempts).toContainEqual(
      expect.objectContaining({ branch: 'held', op: 'action', event: 'failed', status: 500 }),
    )
    expect(JSON.stringify(story)).not.toContain('payload"')
    expect(await api.request('GET', '/v1/transactions/nobody')).toMatchObject({
      status: 404,
      body: { code: 'POSTCOMMIT_UNKNOWN_TRANSACTION' },
    })
    expect((await api.request('GET', '/v1/transactions/not%20one')).body.code).toBe('POSTCOMMIT_INVALID_GID')
  })

  test('pages, newest first, of one tenant', async () => {
    const key = await api.key({ tenant: 'pages' })
    const gids: string[] = []
    for (let n = 0; n < 7; n += 1) gids.push(await submit(messageTo(), gidOf(`page${n}`), key))
    const seen: string[] = []
    for (let before: string | null | undefined; before !== null; ) {
      const path = `/v1/transactions?limit=3${before === undefined ? '' : `&before=${before}`}`
      const { body } = await api.request('GET', path, { key })
      seen.push(...body.transactions.map(({ gid }: { gid: string }) => gid))
      before = body.before
    }
    expect(seen).toEqual(gids.toReversed())
  })

  test('filters', async () => {
    const key = await api.key({ tenant: 'filters' })
    const list = async (query: string) => {
      const { status, body } = await api.request('GET', `/v1/transactions?${query}`, { key })
      return status === 200 ? body.transactions.map(({ gid }: { gid: string }) => gid) : body.code
    }
    const message = await submit(messageTo(), gidOf('m'), key)
    const saga = await submit(sagaOf(['held'], slow), gidOf('s'), key)
    await eventually(async () => expect(await list('status=succeed')).toEqual([message]))
    expect(await list('mode=saga&status=submitted&paused=false')).toEqual([saga])
    expect(await list('createdUntil=2020-01-01T00:00:00Z')).toEqual([])
    expect(await list('createdFrom=2020-01-01T00:00:00Z')).toEqual([saga, message])
    for (const wrong of ['status=x', 'limit=0', 'limit=1e9', 'before=x', 'createdFrom=yesterday', 'order=asc']) {
      expect(await list(wrong)).toBe('POSTCOMMIT_INVALID_REQUEST')
    }
    const { body } = await api.request('GET', '/v1/transactions?limit=0&mode=x', { key })
    expect(body.errors.map(({ path }: { path: string }) => path).toSorted()).toEqual(['limit', 'mode'])
  })
})

describe('in doubt', () => {
  const doubtful = async () => {
    const gid = await prepare(
      messageTo({ backQuery: { target: { destination: 'orders', path: '/back-query' }, checkAfterMs: 1 } }),
    )
    await eventually(async () => {
      const { body } = await api.request('GET', '/v1/in-doubt')
      expect(body.transactions).toContainEqual(expect.objectContaining({ gid, inDoubt: true, status: 'prepared' }))
    })
    return gid
  }

  test.each([
    ['committed', 'succeed', true],
    ['aborted', 'failed', false],
    ['succeed', 'succeed', false],
    ['failed', 'failed', false],
  ])('a person says %s: it ends as %s, and the story says who and why', async (outcome, status, isDelivered) => {
    const gid = await doubtful()
    const calls = () =>
      service.calls.filter(({ path, headers }) => path === '/action' && headers['postcommit-gid'] === gid)
    expect(await act(gid, 'resolve', { outcome, reason: 'asked the shop' })).toMatchObject({
      status: 200,
      body: { changed: true },
    })
    expect((await ended(gid)).body.status).toBe(status)
    const told = (await show(gid)).attempts.filter(({ event }: { event: string }) => event === 'resolved')
    expect(told).toEqual([
      expect.objectContaining({
        detail: 'asked the shop',
        actor: expect.stringMatching(/^key [0-9a-f]{16} \(test\)$/),
      }),
    ])
    expect(calls()).toHaveLength(isDelivered ? 1 : 0)
    expect((await api.request('GET', '/v1/in-doubt')).body.transactions).not.toContainEqual(
      expect.objectContaining({ gid }),
    )
  })

  test('said again it is so already; otherwise it is too late', async () => {
    const gid = await doubtful()
    const resolve = (outcome: string) => act(gid, 'resolve', { outcome, reason: 'r' })
    await resolve('aborted')
    expect((await resolve('aborted')).body).toEqual({ gid, status: 'failed', changed: false })
    for (const other of ['committed', 'succeed']) {
      expect(await resolve(other)).toMatchObject({ status: 409, body: { code: 'POSTCOMMIT_TRANSACTION_DECIDED', gid } })
    }
  })

  test('two people at once: one decision', async () => {
    const gid = await doubtful()
    const outcomes = ['committed', 'aborted', 'committed', 'aborted', 'aborted', 'committed']
    const answers = await Promise.all(outcomes.map((outcome) => act(gid, 'resolve', { outcome, reason: outcome })))
    expect(answers.filter(({ body }) => body.changed === true)).toHaveLength(1)
    const told = (await show(gid)).attempts.filter(({ event }: { event: string }) => event === 'resolved')
    expect(told).toHaveLength(1)
  })
})

describe('acts', () => {
  test('a reason is demanded, and an outcome', async () => {
    const gid = await prepare()
    for (const verb of ['pause', 'resume', 'retry', 'resolve']) {
      for (const body of [{}, { reason: '' }, { reason: 7 }, { reason: 'a\u0000b' }, { reason: 'x'.repeat(2000) }]) {
        expect((await act(gid, verb, body)).body.code).toBe('POSTCOMMIT_INVALID_REQUEST')
      }
      expect(
        (await act('nobody', verb, { reason: 'r', ...(verb === 'resolve' && { outcome: 'failed' }) })).status,
      ).toBe(404)
    }
    expect((await act(gid, 'resolve', { reason: 'r', outcome: 'maybe' })).status).toBe(400)
    expect((await show(gid)).attempts).toEqual([])
  })

  test('pause, resume', async () => {
    const gid = await prepare()
    expect((await act(gid, 'pause', { reason: 'wait' })).body).toEqual({ gid, status: 'prepared', changed: true })
    expect((await act(gid, 'pause')).body.changed).toBe(false)
    await api.request('POST', `/v1/transactions/${gid}:submit`)
    expect(await show(gid)).toMatchObject({ status: 'submitted', pausedReason: 'wait', dueAt: null })
    expect((await act(gid, 'resume', { reason: 'go' })).body.changed).toBe(true)
    expect((await ended(gid)).body.status).toBe('succeed')
    expect((await show(gid)).attempts.map(({ event }: { event: string }) => event)).toEqual(['paused', 'resumed'])
    expect((await act(gid, 'pause')).body.code).toBe('POSTCOMMIT_TRANSACTION_DECIDED')
  })

  test('retry: what waits for its next try is tried now', async () => {
    const gid = await submit(sagaOf(['held'], slow))
    await eventually(async () => expect((await show(gid)).branches[0]).toMatchObject({ attempts: 1 }))
    held = 204
    await eventually(async () => expect((await act(gid, 'retry')).body.changed).toBe(true))
    expect((await ended(gid)).body.status).toBe('succeed')
    held = 500
  })

  test('a saga is undone where it can be, and forced where it cannot', async () => {
    const undone = await submit(sagaOf(['one', 'held'], slow))
    await eventually(async () =>
      expect((await show(undone)).branches.some((one: { attempts: number }) => one.attempts === 1)).toBe(true),
    )
    expect((await act(undone, 'resolve', { outcome: 'aborted', reason: 'r' })).body).toMatchObject({
      status: 'aborting',
      changed: true,
    })
    expect((await ended(undone)).body.status).toBe('failed')

    const forward = sagaOf(['one', 'held'], slow)
    const stuck = await submit({
      ...forward,
      branches: forward.branches.map(({ ops: { compensate: _, ...ops }, ...branch }, n) => ({
        ...branch,
        ops,
        ...(n > 0 && { retryOnly: true }),
      })),
    })
    await eventually(async () => expect((await show(stuck)).branches[1]).toMatchObject({ attempts: 1 }))
    expect(await act(stuck, 'resolve', { outcome: 'aborted', reason: 'r' })).toMatchObject({
      status: 409,
      body: { code: 'POSTCOMMIT_CANNOT_RESOLVE' },
    })
    expect((await act(stuck, 'resolve', { outcome: 'committed', reason: 'r' })).body.code).toBe(
      'POSTCOMMIT_CANNOT_RESOLVE',
    )
    expect((await act(stuck, 'resolve', { outcome: 'succeed', reason: 'done by hand' })).body.status).toBe('succeed')
  })
})

describe('topics', () => {
  const at = (name: string, verb = '') => `/v1/topics/${name}${verb}`
  const post = (path: string, body: unknown, key?: string) =>
    api.request('POST', path, { body, ...(key !== undefined && { key }) })

  test('come into being, change, and go, with a version', async () => {
    const name = gidOf('topic')
    expect(await api.request('GET', at(name))).toMatchObject({
      status: 404,
      body: { code: 'POSTCOMMIT_UNKNOWN_TOPIC' },
    })
    const first = await post(at(name, ':subscribe'), { target: 'stock/a', remark: 'A' })
    expect(first).toMatchObject({ status: 200, body: { name, targets: [{ target: 'stock/a', remark: 'A' }] } })
    expect((await post(at(name, ':subscribe'), { target: 'stock/a' })).body.version).toBe(first.body.version)
    const second = (await post(at(name, ':subscribe'), { target: 'stock/b' })).body
    expect(second.targets.map(({ target }: { target: string }) => target)).toEqual(['stock/a', 'stock/b'])
    expect((await post(at(name, ':unsubscribe'), { target: 'stock/c' })).body.code).toBe('POSTCOMMIT_UNKNOWN_TOPIC')
    expect((await post(at(name, ':unsubscribe'), { target: 'stock/a' })).body.targets).toHaveLength(1)
    const old = await api.request('DELETE', `${at(name)}?version=${second.version}`)
    expect(old).toMatchObject({ status: 409, body: { code: 'POSTCOMMIT_TOPIC_CHANGED' } })
    const { version } = (await api.request('GET', at(name))).body
    expect((await api.request('DELETE', `${at(name)}?version=${version}`)).status).toBe(204)
    expect((await api.request('DELETE', at(name))).status).toBe(404)
  })

  test('are of one tenant, and come in pages', async () => {
    const key = await api.key({ tenant: 'topics' })
    for (const name of ['a', 'b', 'c']) await post(at(name, ':subscribe'), { target: 'stock/x' }, key)
    const { body } = await api.request('GET', '/v1/topics?limit=2', { key })
    expect(body.topics.map(({ name }: { name: string }) => name)).toEqual(['c', 'b'])
    const rest = await api.request('GET', `/v1/topics?limit=2&before=${body.before}`, { key })
    expect(rest.body).toMatchObject({ topics: [{ name: 'a' }], before: null })
    expect((await api.request('GET', at('a'))).status).toBe(404)
  })

  test('names and targets are checked', async () => {
    expect((await post(at('a%20b', ':subscribe'), { target: 'x' })).status).toBe(400)
    for (const body of [{}, { target: '' }, { target: 'a b' }, { target: 'x', url: 'y' }]) {
      expect((await post(at('t', ':subscribe'), body)).body.code).toBe('POSTCOMMIT_INVALID_REQUEST')
    }
  })
})

test('the document is served to whoever asks, and is the one in docs', async () => {
  const { status, body } = await api.request('GET', '/v1/openapi.json', { key: '' })
  expect(status).toBe(200)
  expect(body).toMatchObject({ openapi: '3.1.0', info: { title: 'postcommit relay' } })
})
