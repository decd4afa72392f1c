import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { createOutbox, createRelayClient } from 'postcommit'
import { markPrepared, preparedMessages, purgeBarrier, queryPrepared } from 'postcommit/barrier'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type BarrierStore, SQL_STORES } from '../../support/barrier-stores.ts'
import { database } from '../../support/database.ts'
import { relayDouble } from '../../support/relay-double.ts'

describe.each(SQL_STORES)('a prepared message in $store', ({ store: name, open }) => {
  let store: BarrierStore
  let gid: string

  beforeAll(async () => {
    store = await open()
  })
  afterAll(() => store.close())
  beforeEach(async () => {
    gid = randomUUID()
    await store.run('delete from effect')
  })

  const commit = (digest?: string) =>
    store.transaction(async (tx, run) => {
      const { duplicate } = await markPrepared(tx, gid, digest === undefined ? {} : { digest })
      if (!duplicate) await run("insert into effect values ('a')")
      return duplicate
    })

  test('is committed with its transaction, once', async () => {
    expect(await commit()).toBe(false)
    expect(await commit()).toBe(true)
    expect(await queryPrepared(store.db, gid)).toBe('committed')
    expect(await preparedMessages(store.db).settlePreparedMessage(gid, 'a hint')).toBe('committed')
    expect(await store.effects()).toEqual(['a'])
  })

  test('is given up by a back-query that comes first, for ever', async () => {
    expect(await queryPrepared(store.db, gid)).toBe('aborted')
    expect(await queryPrepared(store.db, gid)).toBe('aborted')
    await expect(commit()).rejects.toMatchObject({ code: 'POSTCOMMIT_GID_ABORTED' })
    expect(await store.effects()).toEqual([])
  })

  test('is in progress while its transaction is open, whatever a look says', async () => {
    await store.transaction(async (tx) => {
      await markPrepared(tx, gid)
      // The failing control: a SELECT would call it rolled back.
      expect(await store.rows(gid)).toEqual([])
      // It is answered while the transaction is open: it did not wait for its end.
      expect(await queryPrepared(store.db, gid, { waitMs: 100 })).toBe('in_progress')
    })
    expect(await queryPrepared(store.db, gid)).toBe('committed')
  })

  test('is given up if its transaction rolls back while the back-query waits', async () => {
    let verdict: Promise<string> | undefined
    const failing = store.transaction(async (tx) => {
      await markPrepared(tx, gid)
      verdict = queryPrepared(store.db, gid, { waitMs: 5000 })
      await sleep(200)
      throw new Error('no')
    })
    await expect(failing).rejects.toThrow('no')
    expect(await verdict).toBe('aborted')
  })

  test('of a commit and 20 back-queries at the same time one decides, for all', async () => {
    for (let round = 0; round < 5; round += 1) {
      gid = randomUUID()
      await store.run('delete from effect')
      const asked = async (): Promise<string> => {
        for (;;) {
          const verdict = await queryPrepared(store.db, gid)
          if (verdict !== 'in_progress') return verdict
        }
      }
      const [committed, ...verdicts] = await Promise.all([
        commit().then(
          () => 'committed',
          () => 'aborted',
        ),
        ...Array.from({ length: 20 }, asked),
      ])
      expect(new Set([committed, ...verdicts]).size).toBe(1)
      expect(await store.effects()).toEqual(committed === 'committed' ? ['a'] : [])
    }
  })

  test('the same gid with other content is a conflict', async () => {
    await commit('1'.repeat(64))
    expect(await commit('1'.repeat(64))).toBe(true)
    await expect(commit('2'.repeat(64))).rejects.toMatchObject({ code: 'POSTCOMMIT_GID_CONFLICT' })
  })

  test('purging keeps what proves a commit unless it is told otherwise, and goes on batch after batch', async () => {
    await commit()
    const table = name.startsWith('MariaDB') ? 'postcommit_barrier' : 'postcommit.barrier'
    const numbers = name.startsWith('MariaDB')
      ? 'select seq as n from seq_1_to_6000'
      : 'select n from generate_series(1, 6000) n'
    await store.run(`delete from ${table} where gid <> '${gid}'`)
    await store.run(
      `insert into ${table} (gid, branch, op, barrier_id, reason) select ${name.startsWith('MariaDB') ? "concat('g', n)" : "'g' || n"}, '01', 'action', '01', 'action' from (${numbers}) numbers`,
    )
    expect(await purgeBarrier(store.db, { olderThanMs: 60_000 })).toBe(0)
    await sleep(20)
    expect(await purgeBarrier(store.db, { olderThanMs: 10 })).toBe(6000)
    expect(await queryPrepared(store.db, gid)).toBe('committed')
    expect(await purgeBarrier(store.db, { olderThanMs: 10, preparedOlderThanMs: 60_000, relay: 'none' })).toBe(0)
    await sleep(20)
    const old = { olderThanMs: 10, preparedOlderThanMs: 10 }
    await expect(purgeBarrier(store.db, old)).rejects.toMatchObject({ code: 'POSTCOMMIT_INVALID_OPTIONS' })
    expect(await purgeBarrier(store.db, { ...old, relay: 'none' })).toBe(1)
    expect(await queryPrepared(store.db, gid)).toBe('aborted')
    for (const olderThanMs of [0, -1, 0.5]) {
      await expect(purgeBarrier(store.db, { olderThanMs })).rejects.toMatchObject({
        code: 'POSTCOMMIT_INVALID_OPTIONS',
      })
    }
  })

  test('what proves a commit stays until the relay that asks has decided, however old it is', async () => {
    const old = { olderThanMs: 10, preparedOlderThanMs: 10 }
    // Rows that the tests before this one have just written.
    await sleep(20)
    await purgeBarrier(store.db, { ...old, relay: 'none' })
    await commit()
    await sleep(20)
    await using double = await relayDouble()
    const relay = createRelayClient({ url: double.url, timeoutMs: 1000 })
    const backQuery = { target: { url: 'http://orders/back-query' } }
    const branches = [{ branch: '1', ops: { action: { url: 'http://stock/deduct' } } }]
    await relay.prepare(gid, { mode: 'msg', branches, backQuery })
    expect(await purgeBarrier(store.db, { ...old, relay })).toBe(0)
    // The late question.
    expect(await queryPrepared(store.db, gid)).toBe('committed')
    double.misbehave(() => 'hang')
    await expect(purgeBarrier(store.db, { ...old, relay })).rejects.toMatchObject({
      code: 'POSTCOMMIT_RELAY_UNREACHABLE',
    })
    double.misbehave(() => undefined)
    await relay.submit(gid)
    expect(await purgeBarrier(store.db, { ...old, relay })).toBe(1)
    gid = randomUUID()
    await commit()
    await sleep(20)
    // Of which the relay knows nothing any more.
    expect(await purgeBarrier(store.db, { ...old, relay })).toBe(1)
    await relay.close()
  })
})

describe('on PostgreSQL', () => {
  test('an open transaction whose xid is known is not waited for', async () => {
    await using db = await database()
    const gid = randomUUID()
    const client = await db.pool.connect()
    await client.query('begin')
    await markPrepared(client, gid)
    const { rows } = await client.query<{ xid: string }>('select pg_current_xact_id()::text as xid')
    const xid = rows[0]?.xid ?? ''
    const started = performance.now()
    expect(await preparedMessages(db.pool, { waitMs: 40_000 }).settlePreparedMessage(gid, xid)).toBe('in_progress')
    expect(performance.now() - started).toBeLessThan(20_000)
    await client.query('rollback')
    client.release()
    expect(await queryPrepared(db.pool, gid, { xid })).toBe('aborted')
    // Of a server that has crashed and forgotten it.
    expect(await queryPrepared(db.pool, randomUUID(), { xid: '99999999' })).toBe('aborted')
    // More digits than a number of the server has: a hint of no use, and no reason to give no verdict.
    expect(await queryPrepared(db.pool, gid, { xid: '9'.repeat(20) })).toBe('aborted')
    await expect(queryPrepared(db.pool, gid, { xid: 'x' })).rejects.toMatchObject({
      code: 'POSTCOMMIT_INVALID_OPTIONS',
    })
  })

  test('a gid chosen for commit() and a back-query are one decision', async () => {
    await using db = await database()
    const outbox = createOutbox({ db: db.pool, wake: 'off' })
    const [committed, given] = [randomUUID(), randomUUID()]
    await outbox.commit(() => undefined, { gid: committed })
    expect(await queryPrepared(db.pool, committed)).toBe('committed')
    expect(await queryPrepared(db.pool, given)).toBe('aborted')
  })

  test('a transaction that dies with its connection is given up', async () => {
    await using db = await database()
    const gid = randomUUID()
    const client = await db.pool.connect()
    client.on('error', () => {})
    await client.query('begin')
    await markPrepared(client, gid)
    const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid')
    await db.pool.query('select pg_terminate_backend($1)', [rows[0]?.pid])
    expect(await queryPrepared(db.pool, gid, { waitMs: 5000 })).toBe('aborted')
    client.release(true)
  })

  test('the row is durable where the session would let a crash forget it, and other time-outs stay', async () => {
    await using db = await database()
    const client = await db.pool.connect()
    await client.query("set synchronous_commit = off; set lock_timeout = '7s'")
    const gid = randomUUID()
    const settings = async () => {
      const { rows } = await client.query(
        "select current_setting('synchronous_commit') as sync, current_setting('lock_timeout') as wait",
      )
      return rows
    }
    await client.query('begin')
    expect(await markPrepared(client, gid)).toEqual({ duplicate: false })
    expect(await settings()).toEqual([{ sync: 'on', wait: '7s' }])
    await client.query('commit')
    await client.query('begin')
    expect(await markPrepared(client, gid)).toEqual({ duplicate: true })
    expect(await settings()).toEqual([{ sync: 'on', wait: '7s' }])
    await client.query('commit')
    client.release(true)
  })
})
