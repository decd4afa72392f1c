import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import {
  ActedOnDeadLettersView,
  DeadLetterPageView,
  OperatorActPageView,
} from '../../../relay/api/v1/operated-views.ts'
import { type TestApi, testApi } from '../../support/api.ts'
import { database, type TestDatabase } from '../../support/database.ts'
import { deliveryStates } from '../../support/deliveries.ts'

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
const post = (path: string, body: object) => api.request('POST', path, { body })

const FILL_DEAD = `insert into postcommit.delivery (gid, branch, destination, target, key, slot, payload, state, attempts, last_error)
select 'order-' || n, 1, (array['stock', 'mail'])[1 + n % 2], '/deduct/' || n % 10, null, 0, '{"secret":"s3cret"}', 'dead', 8,
  'answered 404' from generate_series(1, $1::int) n`

const fillDead = (count: number) => db.pool.query(FILL_DEAD, [count])
const acts = async () =>
  (await db.pool.query('select act, actor, reason, messages::int, selection from postcommit.operator_act order by id'))
    .rows

describe('dead letters', () => {
  test('are listed oldest first, page by page, by what they have in common', async () => {
    await fillDead(7)
    const seen: string[] = []
    for (let after: string | null = '0'; after !== null; ) {
      const page = DeadLetterPageView.parse((await get(`/v1/dead-letters?limit=3&after=${after}`)).body)
      seen.push(...page.deadLetters.map(({ gid }) => gid))
      after = page.after
    }
    expect(seen).toEqual([1, 2, 3, 4, 5, 6, 7].map((n) => `order-${n}`))
    const mail = DeadLetterPageView.parse((await get('/v1/dead-letters?destination=mail&topic=*/3')).body)
    expect(mail.deadLetters.map(({ gid }) => gid)).toEqual(['order-3'])
  })

  test('a dry run says what would be done, and does and notes nothing', async () => {
    await fillDead(4)
    const { body } = await post('/v1/dead-letters/requeue', {
      filter: { destination: 'stock' },
      reason: 'try',
      dryRun: true,
    })
    expect(ActedOnDeadLettersView.parse(body)).toMatchObject({
      dryRun: true,
      count: 2,
      messages: ['order-2:1', 'order-4:1'],
    })
    expect(await deliveryStates(db.pool)).toEqual(Array(4).fill('dead'))
    expect(await acts()).toEqual([])
  })

  test('named ones are requeued, and it is noted who did it and why', async () => {
    await fillDead(4)
    const { body } = await post('/v1/dead-letters/requeue', {
      messages: ['order-1', 'order-3:1', 'order-4:2'],
      reason: 'fixed',
    })
    expect(body).toMatchObject({ act: 'requeue', count: 2, messages: ['order-1:1', 'order-3:1'], after: null })
    expect(await deliveryStates(db.pool)).toEqual(['pending', 'dead', 'pending', 'dead'])
    const selection = { messages: ['order-1', 'order-3:1', 'order-4:2'], of: 3 }
    expect(await acts()).toEqual([
      {
        act: 'requeue',
        actor: expect.stringMatching(/^key [0-9a-f]{16} \(test\)$/),
        reason: 'fixed',
        messages: 2,
        selection,
      },
    ])
    const page = OperatorActPageView.parse((await get('/v1/acts')).body)
    expect(page).toMatchObject({ before: null, acts: [{ act: 'requeue', messages: 2, selection }] })
  })

  test('discarding lets the messages behind them pass', async () => {
    await db.pool.query(`insert into postcommit.delivery (gid, branch, destination, target, key, slot, payload, state)
values ('head', 1, 'stock', '/', 'k', 0, '{}', 'dead'), ('behind', 1, 'stock', '/', 'k', 0, '{}', 'held')`)
    const { body } = await post('/v1/dead-letters/discard', { filter: { key: 'k' }, reason: 'a test order' })
    expect(body).toMatchObject({ act: 'discard', count: 1 })
    expect(await deliveryStates(db.pool)).toEqual(['discarded', 'pending'])
  })

  test('10,000 by filter: in batches, noted as one act, and no more than the limit in one request', async () => {
    await fillDead(20_000)
    // What one statement holds locked, as the database sees it: all its messages are told by one transaction.
    const { body } = await post('/v1/dead-letters/requeue', {
      filter: { destination: 'stock' },
      reason: 'stock is back',
    })
    expect(body).toMatchObject({ count: 10_000 })
    expect(body.messages).toHaveLength(100)
    const batches = await db.pool.query(
      `select count(*)::int as n from postcommit.attempt where event = 'requeued' group by xmin`,
    )
    expect(batches.rows).toEqual(Array(10).fill({ n: 1000 }))
    const { rows } = await db.pool.query(
      `select destination, state, count(*)::int as n from postcommit.delivery group by 1, 2 order by 1, 2`,
    )
    expect(rows).toEqual([
      { destination: 'mail', state: 'dead', n: 10_000 },
      { destination: 'stock', state: 'pending', n: 10_000 },
    ])
    expect(await acts()).toMatchObject([{ messages: 10_000, selection: { filter: { destination: 'stock' } } }])
    const told = await db.pool.query(`select count(*)::int as n from postcommit.attempt where event = 'requeued'`)
    expect(told.rows[0].n).toBe(10_000)

    const some = await post('/v1/dead-letters/requeue', { all: true, reason: 'the rest', limit: 1500 })
    expect(some.body).toMatchObject({ count: 1500, after: expect.stringMatching(/^\d+$/) })
    const rest = await post('/v1/dead-letters/requeue', { all: true, reason: 'the rest', after: some.body.after })
    expect(rest.body).toMatchObject({ count: 8500, after: null })
    expect((await acts()).map(({ selection }) => selection)).toContainEqual({ all: true })
  })

  test('two that requeue the same at once: each message once, and the notes add up', async () => {
    await fillDead(2000)
    const both = await Promise.all(['a', 'b'].map((reason) => post('/v1/dead-letters/requeue', { all: true, reason })))
    expect(both.map(({ status }) => status)).toEqual([200, 200])
    expect(both.reduce((sum, { body }) => sum + body.count, 0)).toBe(2000)
    expect((await acts()).reduce((sum, { messages }) => sum + messages, 0)).toBe(2000)
  })

  test.each([
    { reason: 'nothing chosen' },
    { reason: 'empty filter', filter: {} },
    { reason: 'two', filter: { key: 'k' }, all: true },
    { reason: 'false', all: false },
    { reason: 'no names', messages: [] },
    { reason: 'too many names', messages: Array(1001).fill('a') },
    { reason: 'giant', all: true, limit: 10_001 },
    { reason: '', all: true },
    { reason: 'line\nbreak', all: true },
    { all: true },
    { reason: 'cursor', all: true, after: "1' or true" },
    { reason: 'unknown', filter: { state: 'confirmed' } },
    { reason: 'unknown', all: true, actor: 'the owner' },
    { reason: 'nul', filter: { key: '\0' } },
  ])('refuses $reason before anything is changed', async (body) => {
    await fillDead(2)
    for (const act of ['requeue', 'discard']) {
      const answer = await post(`/v1/dead-letters/${act}`, body)
      expect(answer).toMatchObject({ status: 400, body: { code: 'POSTCOMMIT_INVALID_REQUEST' } })
    }
    expect(await deliveryStates(db.pool)).toEqual(['dead', 'dead'])
    expect(await acts()).toEqual([])
  })
})
