import { once } from 'node:events'
import { connect } from 'node:net'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { EventHub, type EventHubLimits } from '../../../relay/operators/event-hub.ts'
import { type TestApi, testApi } from '../../support/api.ts'
import { database, type TestDatabase } from '../../support/database.ts'
import { insertTestRelay } from '../../support/deliveries.ts'
import { eventually } from '../../support/eventually.ts'

let db: TestDatabase
let api: TestApi
const closers: (() => unknown)[] = []

beforeAll(async () => {
  db = await database()
  api = await testApi(db.url)
})
afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close()
})
afterAll(async () => {
  await api[Symbol.asyncDispose]()
  await db.drop()
})

interface Told {
  readonly id: string
  readonly event: string
  // biome-ignore lint/suspicious/noExplicitAny: a test says what it expects of it
  readonly data: any
}

/** Reads text/event-stream as a browser does. */
async function listen(path = '/v1/events', headers: Record<string, string> = {}) {
  const key = await api.key()
  const controller = new AbortController()
  closers.push(() => controller.abort())
  const response = await fetch(api.url + path, {
    headers: { authorization: `Bearer ${key}`, ...headers },
    signal: controller.signal,
  })
  const told: Told[] = []
  let isOver = false
  const read = async () => {
    let text = ''
    for await (const chunk of response.body ?? []) {
      text += Buffer.from(chunk).toString()
      const blocks = text.split('\n\n')
      text = blocks.pop() ?? ''
      told.push(...blocks.flatMap(parseBlock))
    }
  }
  read()
    .catch(() => undefined)
    .finally(() => {
      isOver = true
    })
  return { response, told, close: () => controller.abort(), isOver: () => isOver }
}

function parseBlock(block: string): Told[] {
  const field = (name: string) => new RegExp(`^${name}: (.*)$`, 'm').exec(block)?.[1]
  const [id, event, data] = [field('id'), field('event'), field('data')]
  return id === undefined || event === undefined || data === undefined ? [] : [{ id, event, data: JSON.parse(data) }]
}

/** Until the watching has begun, nothing that happens is told. */
const begun = () => new Promise((go) => setTimeout(go, 1000))
const SOON = { timeoutMs: 15_000, everyMs: 100 }

const plant = (gid: string, state = 'confirmed') =>
  db.pool.query(
    `insert into postcommit.delivery (gid, branch, destination, target, slot, payload, state, settled_at)
values ($1, 1, 'stock', '/deduct', 0, '{"secret":1}', $2, case when $2 = 'dead' then null else clock_timestamp() end)`,
    [gid, state],
  )

async function plantDead(gid: string, detail = 'answered 404') {
  await plant(gid, 'dead')
  await db.pool.query(
    `insert into postcommit.attempt (delivery_id, event, attempt, detail, actor)
select id, 'dead', 8, $2, 'relay' from postcommit.delivery where gid = $1`,
    [gid, detail],
  )
}

describe('GET /v1/events', () => {
  test('tells settlements, dead letters and acts, and nothing of what messages carry', async () => {
    const { response, told } = await listen()
    expect(response.headers.get('content-type')).toBe('text/event-stream; charset=utf-8')
    expect(response.headers.get('cache-control')).toBe('no-store')
    await begun()
    await plant('settled')
    await plantDead('refused', 'line\nbreak\n\nevent: forged')
    await api.request('POST', '/v1/dead-letters/requeue', { body: { messages: ['refused'], reason: 'fixed' } })
    await eventually(() => {
      const kinds = told.map(({ event, data }) => `${event} ${data.gid}`)
      expect(kinds).toEqual(expect.arrayContaining(['confirmed settled', 'dead refused', 'requeued refused']))
    }, SOON)
    expect(told.map(({ event }) => event)).not.toContain('forged')
    expect(JSON.stringify(told)).not.toContain('secret')
    const numbers = told.map(({ id }) => Number(id.split('-')[1]))
    expect(numbers).toEqual(numbers.toSorted((a, b) => a - b))
  })

  test('a listener that comes again is told what happened meanwhile, once', async () => {
    const first = await listen('/v1/events?kinds=confirmed')
    await begun()
    await plant('before')
    await eventually(() => expect(first.told.map(({ data }) => data.gid)).toEqual(['before']), SOON)
    first.close()
    await plant('meanwhile')
    await begun()
    const again = await listen('/v1/events?kinds=confirmed', { 'last-event-id': first.told.at(-1)?.id ?? '' })
    await plant('after')
    await eventually(() => expect(again.told.map(({ data }) => data.gid)).toEqual(['meanwhile', 'after']), SOON)
  })

  test.each(['00000000-5', 'nonsense', '00000000-99999999999999999999', '-1'])(
    'one that names %s is told that something may be missing',
    async (lastEventId) => {
      const { told } = await listen('/v1/events', { 'last-event-id': lastEventId })
      await eventually(() => expect(told[0]).toMatchObject({ event: 'gap' }), SOON)
    },
  )

  test('a HEAD does not listen', async () => {
    const answer = await fetch(`${api.url}/v1/events`, {
      method: 'HEAD',
      headers: { authorization: `Bearer ${await api.key()}` },
    })
    expect(answer.status).toBe(404)
  })

  test('an unknown kind is refused', async () => {
    const answer = await api.request('GET', '/v1/events?kinds=dead,everything')
    expect(answer).toMatchObject({ status: 400, body: { code: 'POSTCOMMIT_INVALID_REQUEST' } })
  })

  test('a relay takes so many listeners and no more, and again when one has gone', async () => {
    const listeners = await Promise.all(Array.from({ length: 32 }, () => listen()))
    expect(listeners.map(({ response }) => response.status)).toEqual(Array(32).fill(200))
    const key = await api.key()
    expect(await api.request('GET', '/v1/events', { key })).toMatchObject({
      status: 429,
      body: { code: 'POSTCOMMIT_TOO_MANY_LISTENERS', retryable: true },
    })
    listeners[0]?.close()
    await eventually(async () => expect((await listen()).response.status).toBe(200), SOON)
  })

  test('a graceful stop tells listeners that it is the end, and does not wait for them', async () => {
    await using own = await database()
    const mine = await testApi(own.url)
    const response = await fetch(`${mine.url}/v1/events`, { headers: { authorization: `Bearer ${await mine.key()}` } })
    const text = response.text()
    const deaf = connect(Number(new URL(mine.url).port), '127.0.0.1')
    await once(deaf, 'connect')
    deaf.pause()
    deaf.on('error', () => undefined)
    deaf.write(`GET /v1/events HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer ${await mine.key()}\r\n\r\n`)
    await begun()
    const from = performance.now()
    await mine[Symbol.asyncDispose]()
    expect(performance.now() - from).toBeLessThan(10_000)
    expect(await text).toMatch(/event: end\ndata: .*is being stopped/)
    deaf.destroy()
  })
})

describe('a hub', () => {
  const hubOf = (limits: EventHubLimits, url = db.url) => {
    const pool = new pg.Pool({ connectionString: url, max: 2 })
    pool.on('error', () => undefined)
    const hub = new EventHub([{ source: 'main', pool }], limits)
    closers.push(() => pool.end())
    closers.push(() => hub.close())
    return hub
  }

  test('a listener that does not read holds a buffer and no more, and is told how much it has missed', async () => {
    const hub = hubOf({ eventsKept: 100 })
    const slow = hub.listen(undefined, undefined)
    await begun()
    const long = 'd'.repeat(1500)
    for (let round = 0; round < 6; round += 1) {
      await db.pool.query(
        `with written as (
  insert into postcommit.delivery (gid, branch, destination, target, slot, payload, state)
  select $1 || '-' || n, 1, 'stock', '/', 0, '{}', 'dead' from generate_series(1, 100) n returning id
) insert into postcommit.attempt (delivery_id, event, attempt, detail, actor) select id, 'dead', 8, $2, 'relay' from written`,
        [`flood-${round}`, long],
      )
      await begun()
    }
    // 600 events of more than 1,500 bytes each have happened; what waits is not in proportion to them.
    expect(slow.readableLength).toBeLessThan(150_000)
    let text = ''
    slow.on('data', (chunk) => {
      text += String(chunk)
    })
    await eventually(() => expect(text).toContain('flood-5-100'), SOON)
    const missed = Number(/"missed":(\d+)/.exec(text)?.[1])
    const told = [...text.matchAll(/^event: dead$/gm)].length
    expect(missed).toBeGreaterThan(300)
    expect(told + missed).toBe(600)
  })

  test('says that a listener is connected while nothing happens, and asks it to come again after a while', async () => {
    const hub = hubOf({ beatMs: 50, streamMs: 600 })
    const stream = hub.listen(undefined, undefined)
    let text = ''
    stream.on('data', (chunk) => {
      text += String(chunk)
    })
    await once(stream, 'close')
    expect(text).toContain(': alive')
    expect(text).toContain('event: end')
  })

  test('forgets numbers that it has not watched: who comes again after a rest is told of a gap', async () => {
    const hub = hubOf({ lingerMs: 1 })
    const first = hub.listen(undefined, new Set(['confirmed']))
    let text = ''
    first.on('data', (chunk) => {
      text += String(chunk)
    })
    await begun()
    await plant('rest')
    await eventually(() => expect(text).toContain('"rest"'), SOON)
    const id = /^id: (\S+)$/m.exec(text)?.[1]
    first.destroy()
    await begun()
    const again = hub.listen(id, undefined)
    let rest = ''
    again.on('data', (chunk) => {
      rest += String(chunk)
    })
    await eventually(() => expect(rest).toContain('event: gap'), SOON)
  })

  test('tells when something begins to stand still, why, and when that is over', async () => {
    // Without a relay that would bury the one that the test has made up.
    await using own = await database()
    const hub = hubOf({}, own.url)
    const stream = hub.listen(undefined, new Set(['standstill', 'standstill-over']))
    let text = ''
    stream.on('data', (chunk) => {
      text += String(chunk)
    })
    const relay = await insertTestRelay(own.pool)
    await own.pool.query(
      `insert into postcommit.trouble values ($1, 'stream ORDERS', 'full', 'no room', now(), now())`,
      [relay],
    )
    await eventually(() => expect(text).toMatch(/event: standstill\ndata: .*stream ORDERS is full since/), SOON)
    await own.pool.query('delete from postcommit.relay where id = $1', [relay])
    await eventually(() => expect(text).toContain('event: standstill-over'), SOON)
    await hub.close()
  })

  test('a database that is away is a gap, and so is its return', async () => {
    await using own = await database()
    const hub = hubOf({}, own.url)
    const stream = hub.listen(undefined, undefined)
    let text = ''
    stream.on('data', (chunk) => {
      text += String(chunk)
    })
    await begun()
    await own.pool.query('alter table postcommit.attempt rename to attempt_away')
    await eventually(() => expect(text).toContain('the database cannot be read'), SOON)
    await own.pool.query('alter table postcommit.attempt_away rename to attempt')
    await eventually(() => expect(text).toContain('what happened meanwhile is not told'), SOON)
    await hub.close()
  })
})
