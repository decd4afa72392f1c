import { createHash, randomUUID } from 'node:crypto'
import { Kysely, PostgresDialect } from 'kysely'
import type pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { insertApiKey } from '../../../relay/store/api-key/insert-api-key.ts'
import { revokeApiKey } from '../../../relay/store/api-key/revoke-api-key.ts'
import { selectApiKey } from '../../../relay/store/api-key/select-api-key.ts'
import { selectApiKeys } from '../../../relay/store/api-key/select-api-keys.ts'
import type { Tables } from '../../../relay/store/tables.ts'
import { deleteTopic } from '../../../relay/store/topic/delete-topic.ts'
import { selectTopics } from '../../../relay/store/topic/select-topics.ts'
import { subscribe } from '../../../relay/store/topic/subscribe.ts'
import { unsubscribe } from '../../../relay/store/topic/unsubscribe.ts'
import { claimChecks } from '../../../relay/store/transaction/claim-checks.ts'
import { claimTransactions } from '../../../relay/store/transaction/claim-transactions.ts'
import { expediteHeads } from '../../../relay/store/transaction/expedite-heads.ts'
import { expediteTransaction, expediteTransactions } from '../../../relay/store/transaction/expedite-transactions.ts'
import type { NewTransaction } from '../../../relay/store/transaction/insert-transactions.ts'
import { listTransactions, type TransactionFilter } from '../../../relay/store/transaction/list-transactions.ts'
import type { MoveRule } from '../../../relay/store/transaction/move-transactions.ts'
import { moveTransactions } from '../../../relay/store/transaction/move-transactions.ts'
import { pauseTransaction, resumeTransaction } from '../../../relay/store/transaction/pause-transaction.ts'
import { purgeFinished } from '../../../relay/store/transaction/purge-finished.ts'
import { recordProgress } from '../../../relay/store/transaction/record-progress.ts'
import { selectBranchAttempts } from '../../../relay/store/transaction/select-branch-attempts.ts'
import { selectCheckDestinations } from '../../../relay/store/transaction/select-check-destinations.ts'
import { selectNextTransactionDue } from '../../../relay/store/transaction/select-next-transaction-due.ts'
import { selectTransaction } from '../../../relay/store/transaction/select-transaction.ts'
import { submitPrepared } from '../../../relay/store/transaction/submit-prepared.ts'
import { database, type TestDatabase } from '../../support/database.ts'
import { insertTestRelay } from '../../support/deliveries.ts'
import { claimOf, insertTransaction, progressOf, storedTransaction } from '../../support/transactions.ts'

let db: TestDatabase
let pool: pg.Pool
let kysely: Kysely<Tables>
let relay: string

beforeAll(async () => {
  db = await database()
  pool = db.pool
  kysely = new Kysely<Tables>({ dialect: new PostgresDialect({ pool }) })
  relay = await insertTestRelay(pool)
})
afterAll(() => db.drop())

const act = { actor: 'ada', reason: 'the books say so' }
const RESOLVE: readonly MoveRule[] = [{ event: 'resolve', mode: 'msg', from: 'prepared', to: 'submitted' }]

test('the story of a transaction: what was handed in, what became of it, who did what', async () => {
  const tenant = randomUUID()
  const { gid } = await insertTransaction(pool, {
    tenant,
    options: '{"wait_result": true}',
    customData: 'c',
    checkTarget: 'http://orders/query',
    dueInMs: -1,
  })
  const asked = claimOf(relay)
  const prepared = (await claimChecks(pool, asked, [{ destination: 'orders', free: 100 }])).find(
    (one) => one.gid === gid,
  )
  if (prepared === undefined) throw new Error('it was due')
  const noVerdict = {
    event: 'asked',
    asked: 1,
    dueAtMs: prepared.nowMs + 60_000,
    httpStatus: 502,
    error: 'away',
  } as const
  await recordProgress(pool, relay, [progressOf(prepared, asked.token, noVerdict)])
  const resolve = { tenant, gid, event: 'resolve', act: { ...act, event: 'resolved' as const } }
  await moveTransactions(pool, [resolve], RESOLVE)
  const run = claimOf(relay)
  const submitted = (await claimTransactions(pool, run, 100)).find((one) => one.gid === gid)
  if (submitted === undefined) throw new Error('it was due')
  const call = { branch: '01', op: 'action', attempts: 1, calls: 1, durationMs: 12.4 } as const
  const failed = { ...call, status: 'prepared', event: 'failed', httpStatus: 500, error: 'no' } as const
  await recordProgress(pool, relay, [progressOf(submitted, run.token, { operations: [failed] })])
  const done = { ...call, status: 'succeed', calls: 2, httpStatus: 200, result: Buffer.from('ok') } as const
  const end = progressOf(submitted, run.token, { to: 'succeed', result: 'fine', operations: [done] })
  await recordProgress(pool, relay, [end])

  const story = await selectTransaction(pool, { tenant, gid })
  expect(story).toMatchObject({
    status: 'succeed',
    options: '{"wait_result": true}',
    customData: 'c',
    checkTarget: 'http://orders/query',
    result: 'fine',
    leaseOwner: null,
    branches: [{ branch: '01', op: 'action', status: 'succeed', calls: 2, lastStatus: 200, durationMs: 12 }],
  })
  expect(story?.finishedAt).toBeInstanceOf(Date)
  expect(story?.branches[0]?.result?.toString()).toBe('ok')
  const attempts = await selectBranchAttempts(pool, story?.id ?? '', { limit: 10 })
  expect(attempts).toMatchObject([
    { branch: null, event: 'asked', status: 502, detail: 'away', actor: relay },
    { branch: null, event: 'resolved', detail: act.reason, actor: 'ada' },
    { branch: '01', op: 'action', event: 'failed', attempt: 1, status: 500, detail: 'no', durationMs: 12 },
  ])
  expect(await selectBranchAttempts(pool, story?.id ?? '', { after: attempts[1]?.id ?? '', limit: 10 })).toHaveLength(1)
  expect(await selectTransaction(pool, { tenant: 'another', gid })).toBe(undefined)
})

describe('listTransactions', () => {
  test('by every filter', async () => {
    const tenant = randomUUID()
    const msg = await insertTransaction(pool, { tenant })
    const saga = await insertTransaction(pool, { tenant, mode: 'saga', status: 'submitted' })
    await pool.query(`update postcommit.global_transaction set asked = 1 where gid = $1`, [msg.gid])
    await pauseTransaction(pool, saga, act)
    const gids = async (filter: TransactionFilter) =>
      (await listTransactions(kysely, { tenant, ...filter }, 10)).map(({ gid }) => gid)
    expect(await gids({})).toEqual([saga.gid, msg.gid])
    expect(await gids({ gid: msg.gid })).toEqual([msg.gid])
    expect(await gids({ statuses: ['submitted', 'failed'] })).toEqual([saga.gid])
    expect(await gids({ mode: 'msg' })).toEqual([msg.gid])
    expect(await gids({ inDoubt: true })).toEqual([msg.gid])
    expect(await gids({ paused: true })).toEqual([saga.gid])
    expect(await gids({ paused: false })).toEqual([msg.gid])
    expect(await gids({ createdFromMs: Date.now() + 60_000 })).toEqual([])
    expect(await gids({ createdUntilMs: Date.now() + 60_000, createdFromMs: 0 })).toHaveLength(2)
    const [paused] = await listTransactions(kysely, { tenant, paused: true }, 1)
    expect(paused).toMatchObject({ dueAt: null, pausedReason: act.reason })
    expect(await gids({ tenant: 'another' })).toEqual([])
  })

  test('pages: each once and none left out, while others come in and move on', async () => {
    const tenant = randomUUID()
    const there = new Set<string>()
    for (let n = 0; n < 30; n += 1) there.add((await insertTransaction(pool, { tenant })).gid)
    const seen: string[] = []
    for (let before: string | undefined; ; ) {
      const page = await listTransactions(kysely, { tenant, ...(before === undefined ? {} : { before }) }, 7)
      seen.push(...page.map(({ gid }) => gid))
      before = page.at(-1)?.id
      if (before === undefined) break
      for (let n = 0; n < 5; n += 1) await insertTransaction(pool, { tenant })
      const last = page.at(-1)
      if (last !== undefined) await submitPrepared(pool, [{ ...last, digest: 'content', dueInMs: 0 }])
    }
    expect(new Set(seen)).toEqual(there)
    expect(seen).toHaveLength(30)
  })
})

describe('due times', () => {
  test('of what runs, and of everybody who is to be asked', async () => {
    await using other = await database()
    expect(await selectNextTransactionDue(other.pool)).toBe(undefined)
    expect(await selectCheckDestinations(other.pool)).toEqual([])
    const paused = await insertTransaction(other.pool, { checkDestination: 'paused' })
    await pauseTransaction(other.pool, paused, act)
    for (const [checkDestination, dueInMs] of [
      ['b', 90_000],
      ['', 30_000],
      ['b', 60_000],
      ['a', -9_000],
    ] as const) {
      await insertTransaction(other.pool, { checkDestination, dueInMs })
    }
    await insertTransaction(other.pool, { status: 'submitted', dueInMs: 20_000 })
    const running = await insertTransaction(other.pool, { status: 'submitted', dueInMs: -1 })
    await pauseTransaction(other.pool, running, act)
    const rounded = (await selectCheckDestinations(other.pool)).map(({ destination, dueInMs }) => [
      destination,
      Math.max(0, Math.ceil(dueInMs / 10_000)),
    ])
    expect(rounded).toEqual([
      ['', 3],
      ['a', 0],
      ['b', 6],
    ])
    expect(Math.ceil(((await selectNextTransactionDue(other.pool)) ?? 0) / 10_000)).toBe(2)
  })

  test('an operator makes due what would wait too long, a limited number at a time', async () => {
    const tenant = randomUUID()
    const late = { tenant, dueInMs: 600_000 }
    const one = await insertTransaction(pool, late)
    await insertTransaction(pool, { ...late, status: 'submitted' })
    await insertTransaction(pool, { tenant, dueInMs: 50_000 })
    await pauseTransaction(pool, await insertTransaction(pool, late), act)
    await insertTransaction(pool, { ...late, status: 'submitted', claim: claimOf(relay, 600_000) })
    const expedition = { tenant, dueAfterMs: 105_000, limit: 1 }
    expect(await expediteTransactions(pool, expedition)).toEqual({ count: 1, hasRemaining: true })
    expect(await expediteTransactions(pool, expedition)).toEqual({ count: 1, hasRemaining: false })
    expect(await expediteTransactions(pool, expedition)).toEqual({ count: 0, hasRemaining: false })
    expect((await storedTransaction(pool, one.gid, tenant)).due_ms).toBeLessThan(1)
  })

  test('one transaction, with the ops that wait for their next try', async () => {
    const one = await insertTransaction(pool, { dueInMs: 600_000 })
    await pool.query(
      `update postcommit.branch set due_at = 'infinity' where transaction_id =
(select id from postcommit.global_transaction where gid = $1)`,
      [one.gid],
    )
    expect(await expediteTransaction(pool, one, act)).toBe(true)
    const story = await pool.query('select due_at from postcommit.branch where due_at = $1', ['infinity'])
    expect(story.rows).toEqual([])
    expect(await expediteTransaction(pool, { tenant: 'another', gid: one.gid }, act)).toBe(false)
  })
})

describe('pauses', () => {
  test('nothing happens to a paused transaction, not even after its submission', async () => {
    const one = await insertTransaction(pool, { dueInMs: -1, checkDestination: randomUUID() })
    expect(await pauseTransaction(pool, one, act)).toBe(true)
    expect(await pauseTransaction(pool, one, act)).toBe(false)
    const checks = [{ destination: one.checkDestination, free: 10 }]
    expect(await claimChecks(pool, claimOf(relay), checks)).toEqual([])
    const submission = { ...one, dueInMs: 0, claim: claimOf(relay) }
    const [submitted] = [...(await submitPrepared(pool, [submission])).values()]
    expect(submitted).toMatchObject({ status: 'submitted', claimed: false, operations: [] })
    const claimed = async () => (await claimTransactions(pool, claimOf(relay), 1000)).map(({ gid }) => gid)
    expect(await claimed()).not.toContain(one.gid)
    expect(await resumeTransaction(pool, one, act)).toBe(true)
    expect(await resumeTransaction(pool, one, act)).toBe(false)
    expect(await claimed()).toContain(one.gid)
    const { rows } = await pool.query(
      `select event, actor, detail from postcommit.branch_attempt a join postcommit.global_transaction t
on t.id = a.transaction_id where gid = $1 order by a.id`,
      [one.gid],
    )
    expect(rows.map(({ event }) => event)).toEqual(['paused', 'resumed'])
  })
})

describe('purgeFinished', () => {
  test('removes what ended long ago, with everything that belongs to it, and walks past the rest', async () => {
    await using other = await database()
    const insert = (status: 'prepared' | 'submitted') => insertTransaction(other.pool, { status })
    const [old, open, young] = [await insert('submitted'), await insert('prepared'), await insert('submitted')]
    await pauseTransaction(other.pool, old, act)
    await other.pool.query(`insert into postcommit.global_transaction
  (id, tenant, gid, mode, status, digest, op_count, due_at, created_at, finished_at)
select nextval('postcommit.global_transaction_id'), '', 'g' || n, 'msg', 'failed', '', 0, now(), now() - interval '2 h', now() - interval '2 h'
from generate_series(1, 4500) n`)
    await other.pool.query(`update postcommit.global_transaction set created_at = now() - interval '2 h'`)
    await other.pool.query(
      `update postcommit.global_transaction set status = 'succeed', finished_at = now() - interval '1 h' * $2 where gid = $1`,
      [old.gid, 2],
    )
    await other.pool.query(
      `update postcommit.global_transaction set status = 'failed', finished_at = now() where gid = $1`,
      [young.gid],
    )
    expect(await purgeFinished(other.pool, 3_600_000)).toBe(4501)
    const { rows } = await other.pool.query('select gid from postcommit.global_transaction order by id')
    expect(rows).toEqual([{ gid: open.gid }, { gid: young.gid }])
    const { rows: left } = await other.pool.query(
      `select (select count(*) from postcommit.branch)::int as branches, (select count(*) from postcommit.branch_attempt)::int as story`,
    )
    expect(left).toEqual([{ branches: 2, story: 0 }])
    expect(await purgeFinished(other.pool, 3_600_000)).toBe(0)
  })
})

describe('topics', () => {
  test('have targets in the order they were added, and a version that rises', async () => {
    const tenant = randomUUID()
    const add = (topic: string, target: string) => subscribe(pool, { tenant, topic, target, remark: `to ${target}` })
    expect(await add('orders', 'b')).toBe('1')
    expect(await add('orders', 'a')).toBe('2')
    expect(await add('orders', 'a')).toBe(undefined)
    expect(await add('stock', 'a')).toBe('1')
    const [orders] = await selectTopics(pool, tenant, { names: ['orders', 'none'], limit: 10 })
    const targets = ['b', 'a'].map((target) => ({ target, remark: `to ${target}` }))
    expect(orders).toMatchObject({ name: 'orders', version: '2', targets })
    const page = await selectTopics(pool, tenant, { limit: 1 })
    expect(page.map(({ name }) => name)).toEqual(['stock'])
    const next = await selectTopics(pool, tenant, { before: page[0]?.id ?? '', limit: 1 })
    expect(next.map(({ name }) => name)).toEqual(['orders'])
    expect(await selectTopics(pool, 'another', { limit: 10 })).toEqual([])
  })

  test('lose targets, and are told apart when there is none to lose', async () => {
    const tenant = randomUUID()
    await subscribe(pool, { tenant, topic: 't', target: 'a', remark: '' })
    const remove = (topic: string, target: string) => unsubscribe(pool, tenant, topic, target)
    expect(await remove('t', 'b')).toEqual({ kind: 'no-such-target' })
    expect(await remove('none', 'b')).toEqual({ kind: 'no-such-topic' })
    expect(await remove('t', 'a')).toEqual({ kind: 'removed', version: '2' })
    expect(await remove('t', 'a')).toEqual({ kind: 'topic-is-empty' })
    expect(await deleteTopic(pool, tenant, 't', '1')).toBe(false)
    expect(await deleteTopic(pool, tenant, 't')).toBe(true)
    expect(await deleteTopic(pool, tenant, 't')).toBe(false)
  })

  test('twenty at once: each target once, each with a version of its own', async () => {
    const tenant = randomUUID()
    const targets = Array.from({ length: 20 }, (_, n) => `http://${n}`)
    const versions = await Promise.all(
      targets.map((target) => subscribe(pool, { tenant, topic: 't', target, remark: '' })),
    )
    expect(versions.map(Number).toSorted((a, b) => a - b)).toEqual(targets.map((_, n) => n + 1))
    const [topic] = await selectTopics(pool, tenant, { names: ['t'], limit: 1 })
    expect(topic?.targets.map(({ target }) => target).toSorted()).toEqual(targets.toSorted())
  })
})

describe('API keys', () => {
  test('open until they are revoked or have expired', async () => {
    const digest = createHash('sha256').update('secret').digest()
    const tenant = randomUUID()
    const key = (id: string, expiresInMs?: number) =>
      insertApiKey(pool, { id: `${tenant}-${id}`, digest, tenant, scopes: ['submit'], label: id, expiresInMs })
    expect(await key('a')).toMatchObject({ tenant, scopes: ['submit'], label: 'a', expiresAt: null, revokedAt: null })
    await key('b', 3_600_000)
    await key('c', -1)
    const found = await selectApiKey(pool, `${tenant}-a`)
    expect(found?.digest.equals(digest)).toBe(true)
    expect(await selectApiKey(pool, `${tenant}-b`)).toBeDefined()
    expect(await selectApiKey(pool, `${tenant}-c`)).toBe(undefined)
    expect(await revokeApiKey(pool, `${tenant}-a`)).toBe(true)
    expect(await revokeApiKey(pool, `${tenant}-a`)).toBe(false)
    expect(await selectApiKey(pool, `${tenant}-a`)).toBe(undefined)
    expect((await selectApiKeys(pool, tenant)).map(({ label }) => label)).toEqual(['c', 'b', 'a'])
    expect(await selectApiKeys(pool, 'another')).toEqual([])
    await expect(key('a')).rejects.toMatchObject({ code: '23505' })
  })
})

describe('a prepared message is never asked about before its time', () => {
  const young = (given: Partial<NewTransaction> = {}) =>
    insertTransaction(pool, { tenant: randomUUID(), dueInMs: 60_000, askFromInMs: 60_000, ...given })

  test('whoever is in a hurry, with one of them or with all', async () => {
    const one = await young()
    expect(await expediteTransaction(pool, one, act)).toBe(false)
    expect(await expediteTransactions(pool, { tenant: one.tenant, dueAfterMs: 0, limit: 10 })).toEqual({
      count: 0,
      hasRemaining: false,
    })
    expect((await storedTransaction(pool, one.gid, one.tenant)).due_ms).toBeGreaterThan(50_000)
  })

  test('resumed after a pause', async () => {
    const one = await young()
    await pauseTransaction(pool, one, act)
    expect(await resumeTransaction(pool, one, act)).toBe(true)
    expect((await storedTransaction(pool, one.gid, one.tenant)).due_ms).toBeGreaterThan(50_000)
  })

  test('at the head of a line', async () => {
    const head = await young({ key: 'k' })
    await insertTransaction(pool, { tenant: head.tenant, key: 'k', status: 'submitted' })
    await pool.query(`update postcommit.global_transaction set created_at = now() - interval '1 minute'`)
    await expediteHeads(pool, [{ tenant: head.tenant, key: 'k' }])
    expect((await storedTransaction(pool, head.gid, head.tenant)).due_ms).toBeGreaterThan(50_000)
  })

  test('once its time has come, and at any time if its transaction had begun when it was announced, at once', async () => {
    const begun = await young({ askFromInMs: undefined })
    expect(await expediteTransaction(pool, begun, act)).toBe(true)
    expect((await storedTransaction(pool, begun.gid, begun.tenant)).due_ms).toBeLessThanOrEqual(0)
    const asked = await young({ askFromInMs: 0 })
    expect(await expediteTransaction(pool, asked, act)).toBe(true)
    // A decision does not wait for the time of a question.
    const submitted = await young({ status: 'submitted' })
    expect(await expediteTransaction(pool, submitted, act)).toBe(true)
    expect((await storedTransaction(pool, submitted.gid, submitted.tenant)).due_ms).toBeLessThanOrEqual(0)
  })
})
