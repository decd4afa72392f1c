import { randomUUID } from 'node:crypto'
import type pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { inTransaction } from '../../../relay/store/in-transaction.ts'
import {
  expediteFollowers,
  expediteFollowersOf,
  expediteUndecided,
} from '../../../relay/store/transaction/expedite-keys.ts'
import { handOver, handOverInOrder, lockKeysOf } from '../../../relay/store/transaction/hand-over.ts'
import { insertTransactions } from '../../../relay/store/transaction/insert-transactions.ts'
import { purgeFinished } from '../../../relay/store/transaction/purge-finished.ts'
import { selectTransaction } from '../../../relay/store/transaction/select-transaction.ts'
import { selectTransactionStates } from '../../../relay/store/transaction/select-transaction-states.ts'
import { database, type TestDatabase } from '../../support/database.ts'
import { storedTransaction, transaction } from '../../support/transactions.ts'

let db: TestDatabase
let pool: pg.Pool

beforeAll(async () => {
  db = await database()
  pool = db.pool
})
afterAll(() => db.drop())
beforeEach(async () => {
  await pool.query(`truncate postcommit.global_transaction, postcommit.prepared_key, postcommit.outbox,
    postcommit.delivery, postcommit.claim cascade`)
})

/** A prepared message that publishes once under each key, or once without one. */
async function prepare(...keys: string[]): Promise<{ readonly id: string; readonly gid: string }> {
  const gid = randomUUID()
  const messages = (keys.length === 0 ? [undefined] : keys).map((key, index) => ({
    branch: index + 1,
    target: 'order.placed',
    key,
    payload: '{"n": 1.0}',
  }))
  const content = JSON.stringify(messages)
  const [inserted] = await insertTransactions(pool, [transaction({ gid, key: keys[0], keys, content, operations: [] })])
  return { id: inserted?.id ?? '', gid }
}

const decide = (...messages: { readonly id: string }[]) =>
  inTransaction(pool, async (client) => {
    const ids = messages.map(({ id }) => id)
    await lockKeysOf(client, ids)
    return await handOverInOrder(client, ids)
  })
const abort = (gid: string) =>
  pool.query(`update postcommit.global_transaction set status = 'failed', finished_at = now() where gid = $1`, [gid])
const published = async () =>
  (await pool.query('select gid, branch, key, payload from postcommit.outbox order by id')).rows
const dueNow = async () =>
  (
    await pool.query(
      `select id::text from postcommit.global_transaction where finished_at is null and due_at <= now() order by id`,
    )
  ).rows.map(({ id }) => id)

describe('without keys', () => {
  test('messages are rows of the outbox, byte for byte, and the transaction has ended; a second time does nothing', async () => {
    const [first, second] = [await prepare(), await prepare()]
    expect(await handOver(pool, [second.id, first.id])).toEqual([first.id, second.id])
    expect(await published()).toEqual(
      [first, second].map(({ gid }) => ({ gid, branch: 1, key: null, payload: '{"n": 1.0}' })),
    )
    expect(await storedTransaction(pool, first.gid)).toMatchObject({ status: 'succeed', finished: true })
    expect(await handOver(pool, [first.id])).toEqual([])
    expect(await published()).toHaveLength(2)
  })

  test('what was given up or is paused is not written', async () => {
    const [gone, paused] = [await prepare(), await prepare()]
    await abort(gone.gid)
    await pool.query(`update postcommit.global_transaction set paused_reason = 'why' where id = $1`, [paused.id])
    expect(await handOver(pool, [gone.id, paused.id])).toEqual([])
    expect(await published()).toEqual([])
  })

  test('until the broker has acknowledged it, it is submitted', async () => {
    const { id, gid } = await prepare()
    const status = async () => (await selectTransactionStates(pool, [{ tenant: '', gid }]))[0]?.status
    await handOver(pool, [id])
    expect(await status()).toBe('submitted')
    expect((await selectTransaction(pool, { tenant: '', gid }))?.branches).toMatchObject([
      { branch: '1', op: 'action', status: 'prepared', target: 'nats:order.placed' },
    ])
    const before = await pool.query('select snapshot from postcommit.position')
    await pool.query('update postcommit.position set snapshot = pg_current_snapshot()')
    expect(await status()).toBe('succeed')
    expect((await selectTransaction(pool, { tenant: '', gid }))?.branches).toMatchObject([{ status: 'succeed' }])
    await pool.query('update postcommit.position set snapshot = $1', [before.rows[0].snapshot])
  })

  test('one of which something is unsettled is not purged', async () => {
    const { id, gid } = await prepare()
    await handOver(pool, [id])
    await pool.query(`update postcommit.global_transaction set created_at = created_at - interval '1 day',
      finished_at = finished_at - interval '1 day'`)
    expect(await purgeFinished(pool, 1000)).toBe(0)
    expect(await storedTransaction(pool, gid)).toMatchObject({ status: 'succeed' })
  })
})

describe('with keys', () => {
  test('a message waits for every earlier one that shares a key with it and is undecided', async () => {
    const [first, second, third] = [await prepare('a', 'b'), await prepare('b'), await prepare('c')]
    expect(await decide(second, third)).toMatchObject({ written: [third.id], waiting: [second.id] })
    expect(await storedTransaction(pool, second.gid)).toMatchObject({ status: 'submitted', finished: false })
    const handed = await decide(first)
    expect(handed.written).toEqual([first.id])
    expect(handed.keys).toEqual(
      expect.arrayContaining([
        { tenant: '', key: 'a' },
        { tenant: '', key: 'b' },
      ]),
    )
    expect(await expediteFollowers(pool, handed.keys)).toBe(1)
    expect(await dueNow()).toEqual([second.id])
    expect((await decide(second)).written).toEqual([second.id])
    expect((await published()).map(({ gid }) => gid)).toEqual([third.gid, first.gid, first.gid, second.gid])
  })

  test('and for one that itself waits, whatever key that waits for', async () => {
    const [first, second, third] = [await prepare('a'), await prepare('a', 'b'), await prepare('b')]
    expect((await decide(second)).waiting).toEqual([second.id])
    expect((await decide(third)).waiting).toEqual([third.id])
    expect(await decide(first, second, third)).toMatchObject({ written: [first.id, second.id, third.id], waiting: [] })
    expect((await pool.query('select count(*)::int from postcommit.prepared_key')).rows).toEqual([{ count: 0 }])
  })

  test('a line of them goes in the order in which they were prepared, however they are named', async () => {
    const line = [await prepare('k'), await prepare('k'), await prepare('k')]
    expect((await decide(...line.toReversed())).written).toEqual(line.map(({ id }) => id))
    expect((await published()).map(({ gid }) => gid)).toEqual(line.map(({ gid }) => gid))
  })

  test('what waits behind a message that is given up is due', async () => {
    const [first, second] = [await prepare('k'), await prepare('k')]
    await decide(second)
    await abort(first.gid)
    expect(await expediteFollowersOf(pool, [{ tenant: '', gid: first.gid }])).toBe(1)
    expect((await decide(second)).written).toEqual([second.id])
  })

  test('an undecided message that others wait for is asked about soon, once, and not before it may be', async () => {
    const [first, second] = [await prepare('k'), await prepare('k')]
    const { waiting } = await decide(second)
    const due = async () => (await storedTransaction(pool, first.gid)).due_ms
    await pool.query(
      `update postcommit.global_transaction set ask_from = now() + interval '30 seconds' where id = $1`,
      [first.id],
    )
    await expediteUndecided(pool, waiting)
    expect(await due()).toBeGreaterThan(20_000)
    await pool.query('update postcommit.global_transaction set ask_from = null where id = $1', [first.id])
    await expediteUndecided(pool, waiting)
    expect(await due()).toBeLessThan(2000)
  })

  test('two relays that decide about one key at the same time leave nobody waiting, and nobody out of order', async () => {
    for (let round = 0; round < 20; round += 1) {
      const [first, second] = [await prepare('k', 'l'), await prepare('l', 'k')]
      const handed = await Promise.all([decide(second), decide(first)])
      const waiting = handed.flatMap((one) => one.waiting)
      if (waiting.length > 0) expect((await decide(second)).written).toEqual([second.id])
      const order = (await published()).slice(-4).map(({ gid }) => gid)
      expect(order).toEqual([first.gid, first.gid, second.gid, second.gid])
    }
  })
})
