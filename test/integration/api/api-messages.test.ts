import { request } from 'node:http'
import pg from 'pg'
import { pino } from 'pino'
import { createOutbox, type MessageDraft } from 'postcommit'
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { startApi } from '../../../relay/api/server.ts'
import { MessagePageView, MessageStoryView, OverviewView } from '../../../relay/api/v1/operated-views.ts'
import { type TestApi, testApi } from '../../support/api.ts'
import { NO_ADDRESSES } from '../../support/coordinators.ts'
import { database, type TestDatabase } from '../../support/database.ts'
import { deliveryStates } from '../../support/deliveries.ts'
import { eventually } from '../../support/eventually.ts'

let db: TestDatabase
let api: TestApi

// No destination is configured, so that what is written down stays where the test puts it.
beforeAll(async () => {
  db = await database()
  api = await testApi(db.url)
})
afterAll(async () => {
  await api[Symbol.asyncDispose]()
  await db.drop()
})
beforeEach(() => db.pool.query('truncate postcommit.delivery, postcommit.outbox, postcommit.operator_act cascade'))

const get = (path: string) => api.request('GET', path)

async function commit(add: (message: MessageDraft) => unknown): Promise<string> {
  return (await createOutbox({ db: db.pool, wake: 'off' }).commit((_, message) => add(message))).gid
}

const FILL_DEAD = `insert into postcommit.delivery (gid, branch, destination, target, key, slot, payload, state, attempts, last_error)
select 'order-' || n, 1, (array['stock', 'mail'])[1 + n % 2], '/deduct/' || n % 10, null, 0, '{"secret":"s3cret"}', 'dead', 8,
  'answered 404' from generate_series(1, $1::int) n`

const fillDead = (count: number) => db.pool.query(FILL_DEAD, [count])

describe('GET /v1/messages', () => {
  test('lists log and deliveries, newest first, page by page, without what they carry', async () => {
    const gids: string[] = []
    for (let n = 1; n <= 5; n += 1) {
      gids.push(
        await commit((message) =>
          n % 2 === 0
            ? message.publish('order.placed', { secret: n })
            : message.call('stock', '/deduct', { secret: n }),
        ),
      )
    }
    const first = await get('/v1/messages?limit=2')
    expect(first.status).toBe(200)
    expect(JSON.stringify(first.body)).not.toContain('secret')
    const seen = MessagePageView.parse(first.body).messages.map(({ gid }) => gid)
    for (let before = first.body.before; before !== null; ) {
      const page = MessagePageView.parse((await get(`/v1/messages?limit=2&before=${before}`)).body)
      seen.push(...page.messages.map(({ gid }) => gid))
      before = page.before
    }
    expect(seen).toEqual(gids.toReversed())
  })

  test('every filter holds back what does not fit', async () => {
    const call = await commit((message) => message.call('stock', '/deduct/7', {}, { key: 'k7' }))
    const published = await commit((message) => message.publish('order.placed', {}, { key: 'k8' }))
    await fillDead(1)
    await db.pool.query(`update postcommit.delivery set created_at = now() - interval '2 hours' where gid = 'order-1'`)
    const found = async (query: string) => {
      const { body } = await get(`/v1/messages?${query}`)
      return MessagePageView.parse(body).messages.map(({ gid }) => gid)
    }
    const hourAgo = new Date(Date.now() - 3_600_000).toISOString()
    expect(await found('state=dead')).toEqual(['order-1'])
    expect(await found('state=waiting')).toEqual([published])
    expect(await found('state=pending,dead')).toEqual(['order-1', call])
    expect(await found('destination=nats')).toEqual([published])
    expect(await found('topic=/deduct/*')).toEqual(['order-1', call])
    expect(await found('topic=order.placed')).toEqual([published])
    expect(await found('key=k7')).toEqual([call])
    expect(await found('gid=order-')).toEqual(['order-1'])
    expect(await found(`gid=${call.slice(0, 20)}`)).toContain(call)
    expect(await found(`until=${hourAgo}`)).toEqual(['order-1'])
    expect(await found(`since=${hourAgo}`)).toEqual([published, call])
    expect(await found(`since=${hourAgo}&until=${hourAgo}`)).toEqual([])
  })

  test.each([
    'limit=0',
    'limit=501',
    'limit=1e9',
    'limit=-1',
    'limit=x',
    'before=-1',
    'before=9999999999999999999',
    "before=1' or '1'='1",
    'state=lost',
    'state=dead,',
    'since=yesterday',
    'until=2026-13-01T00:00:00Z',
    'key=%00',
    `key=${'k'.repeat(1001)}`,
    'order=asc',
    'limit=1&limit=2',
  ])('refuses %s, and says which field', async (query) => {
    const { status, body } = await get(`/v1/messages?${query.replaceAll(' ', '%20')}`)
    expect(status).toBe(400)
    expect(body).toMatchObject({ code: 'POSTCOMMIT_INVALID_REQUEST', errors: [expect.anything()] })
  })

  test('text that would be SQL elsewhere is compared, and finds nothing', async () => {
    await fillDead(3)
    for (const text of ["' or 1=1 --", '%', '_rder-1', 'order-1%', "'; drop table postcommit.delivery; --", '\\']) {
      for (const field of ['key', 'gid', 'topic', 'destination']) {
        const { status, body } = await get(`/v1/messages?${field}=${encodeURIComponent(text)}`)
        expect({ status, messages: body.messages }).toEqual({ status: 200, messages: [] })
      }
    }
    expect(await deliveryStates(db.pool)).toHaveLength(3)
  })

  test('a query that takes too long is ended, and says so', async () => {
    const slow = new pg.Pool({ connectionString: db.url, statement_timeout: 1500 })
    const surroundings = { targets: NO_ADDRESSES, transactions: () => undefined, metrics: api.relay.metrics }
    const served = await startApi(
      { port: 0, auth: 'none' },
      {
        ...surroundings,
        pool: api.pool,
        sources: [{ source: 'main', pool: slow }],
        broker: () => ({ configured: false, connected: false, problem: undefined }),
        log: pino({ level: 'silent' }),
      },
    )
    const locker = await db.pool.connect()
    await locker.query('begin; lock table postcommit.delivery in access exclusive mode')
    onTestFinished(async () => {
      await locker.query('rollback')
      locker.release()
      await served.close()
      await slow.end()
    })
    const answer = await fetch(`${served.url}/v1/messages`)
    expect({ status: answer.status, body: await answer.json() }).toMatchObject({
      status: 504,
      body: { code: 'POSTCOMMIT_QUERY_TOO_SLOW', retryable: true },
    })
    const overview = OverviewView.parse(await (await fetch(`${served.url}/v1/overview`)).json())
    // Only what is locked is not known; it is null, and the rest is told.
    expect(overview.sources[0]).toMatchObject({ source: 'main', problem: null, deliveries: null })
    expect(overview.sources[0]?.unknown).toEqual(['deliveries', 'relays.claims'])
    expect(overview.sources[0]?.relays).toMatchObject([{ alive: true, claims: null }])
  })
})

describe('GET /v1/messages/{gid}', () => {
  test('says where each message is and why, with its attempts; what it carries only on demand, and to admins', async () => {
    const gid = await commit((message) => message.call('stock', '/deduct', { secret: 1 }))
    const story = await get(`/v1/messages/${gid}`)
    const { sources } = MessageStoryView.parse(story.body)
    expect(sources[0]?.messages[0]).toMatchObject({
      state: 'pending',
      explanation: 'Waiting: no running relay has a destination named stock. Add it to the configuration of one.',
    })
    expect(JSON.stringify(story.body)).not.toContain('secret')
    const reader = await api.key({ scopes: ['read'] })
    const whole = `/v1/messages/${gid}?payload=true`
    expect(await api.request('GET', whole, { key: reader })).toMatchObject({
      status: 403,
      body: { code: 'POSTCOMMIT_FORBIDDEN' },
    })
    expect((await get(whole)).body.sources[0].messages[0].payload).toBe('{"secret":1}')
  })

  test('one message of a gid, a number, and what is not there', async () => {
    await fillDead(1)
    expect((await get('/v1/messages/order-1:1')).body.sources[0].messages).toHaveLength(1)
    const { rows } = await db.pool.query('select id from postcommit.delivery')
    expect((await get(`/v1/messages/%23${rows[0].id}`)).body.gid).toBe('order-1')
    for (const name of ['order-2', 'order-1:2', '%23999999999']) {
      expect(await get(`/v1/messages/${name}`)).toMatchObject({
        status: 404,
        body: { code: 'POSTCOMMIT_MESSAGE_NOT_FOUND' },
      })
    }
    expect((await get('/v1/messages/not%20a%20gid')).body.code).toBe('POSTCOMMIT_INVALID_GID')
  })
})

describe('GET /v1/overview', () => {
  test('counts what waits, names what is in the way, and tells which relays run', async () => {
    await fillDead(3)
    const { sources, broker, countMax } = OverviewView.parse((await get('/v1/overview')).body)
    expect(countMax).toBe(100_000)
    expect(broker).toEqual({ configured: false, connected: null, problem: null })
    expect(sources).toHaveLength(1)
    expect(sources[0]).toMatchObject({
      source: 'main',
      unknown: [],
      problem: null,
      log: { messages: 0, oldestAgeSeconds: 0 },
      relays: [{ alive: true }],
    })
    expect(sources[0]?.deliveries).toContainEqual(
      expect.objectContaining({ destination: 'stock', state: 'dead', count: 1 }),
    )
    // The relay replaces what it has told when it tells the next.
    await eventually(async () => {
      await db.pool.query(`insert into postcommit.trouble (relay, scope, cause, error, since, next_probe_at)
select id, 'subject order.placed', 'full', 'maximum messages exceeded', now(), now() + interval '1 minute' from postcommit.relay on conflict do nothing`)
      const told = OverviewView.parse((await get('/v1/overview')).body).sources[0]?.standstills
      expect(told).toContainEqual(
        expect.objectContaining({
          scope: 'subject order.placed',
          reason: expect.stringContaining('subject order.placed is full'),
        }),
      )
    })
    await db.pool.query('delete from postcommit.trouble')
  })
})

describe('who may look', () => {
  const PATHS = ['/v1/messages', '/v1/messages/g', '/v1/dead-letters', '/v1/acts', '/v1/overview', '/v1/events']

  test('without a valid key nothing is shown, and with that of a tenant neither', async () => {
    const tenant = await api.key({ tenant: 'shop' })
    for (const path of PATHS) {
      expect(await api.request('GET', path, { key: 'wrong' })).toMatchObject({ status: 401 })
      expect(await api.request('GET', path, { key: tenant })).toMatchObject({
        status: 403,
        body: { code: 'POSTCOMMIT_FORBIDDEN', detail: expect.stringContaining('tenant shop') },
      })
    }
    for (const act of ['requeue', 'discard']) {
      const body = { all: true, reason: 'r' }
      const path = `/v1/dead-letters/${act}`
      expect(await api.request('POST', path, { key: tenant, body })).toMatchObject({ status: 403 })
      const reader = await api.key({ scopes: ['read'] })
      expect(await api.request('POST', path, { key: reader, body })).toMatchObject({ status: 403 })
    }
  })

  test('a source that the relay has not is named as unknown, with those that it has', async () => {
    for (const path of ['/v1/messages', '/v1/messages/g', '/v1/dead-letters', '/v1/acts']) {
      expect(await get(`${path}?source=other`)).toMatchObject({
        status: 404,
        body: { code: 'POSTCOMMIT_UNKNOWN_SOURCE', detail: expect.stringContaining('other') },
      })
    }
  })

  test('a database that is away is said to be away, and nothing of it is 0', async () => {
    const away = new pg.Pool({ connectionString: 'postgres://user:hunter2@127.0.0.1:1/away' })
    const served = await startApi(
      { port: 0, auth: 'none' },
      {
        pool: api.pool,
        sources: [{ source: 'main', pool: away }],
        broker: () => ({ configured: true, connected: false, problem: 'no servers' }),
        targets: NO_ADDRESSES,
        transactions: () => undefined,
        metrics: api.relay.metrics,
        log: pino({ level: 'silent' }),
      },
    )
    const answer = await fetch(`${served.url}/v1/messages`)
    const text = await answer.text()
    expect(answer.status).toBe(503)
    expect(text).toContain('POSTCOMMIT_SOURCE_UNREADABLE')
    expect(text).not.toMatch(/hunter2|127\.0\.0\.1/)
    const overview = OverviewView.parse(await (await fetch(`${served.url}/v1/overview`)).json())
    expect(overview.broker).toEqual({ configured: true, connected: false, problem: 'no servers' })
    expect(overview.sources[0]).toMatchObject({
      log: { messages: null },
      deliveries: null,
      relays: null,
      standstills: null,
    })
    expect(overview.sources[0]?.unknown).toContain('relays')
    // Another name for this host in the Host header is a web page, not a program.
    const status = await new Promise((done) =>
      request(`${served.url}/v1/messages`, { headers: { host: 'evil.example' } }, (r) =>
        done(r.resume().statusCode),
      ).end(),
    )
    expect(status).toBe(403)
    await served.close()
    await away.end()
  })
})
