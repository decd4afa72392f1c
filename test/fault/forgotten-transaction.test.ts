import type { PostgresServer } from '@postcommit/relay/dev'
import pg from 'pg'
import { createOutbox } from 'postcommit'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { database, type TestDatabase } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { privatePostgres } from '../support/private-servers.ts'

let postgres: PostgresServer
let db: TestDatabase

beforeAll(async () => {
  // What is not flushed by a commit stays in memory for as long as PostgreSQL lets us have it, and dies with it.
  postgres = await privatePostgres({ settings: { wal_writer_delay: '10s', autovacuum: 'off' } })
  db = await database({ server: postgres.url })
  await db.pool.query('create table orders (id text primary key)')
})
afterAll(async () => {
  await db.drop()
  await postgres[Symbol.asyncDispose]()
})

/** Kills the server and has it give out the xid again; returns what the commit log then says of it. */
async function crashAndReuse(xid: bigint): Promise<unknown> {
  await postgres.kill()
  // A server that was killed can leave memory behind that the next one must wait for.
  await eventually(() => postgres.start(), { timeoutMs: 15_000, everyMs: 300 })
  const pool = new pg.Pool({ connectionString: db.url })
  let drawn = 0n
  while (drawn < xid) {
    const { rows } = await pool.query<{ xid: string }>('select pg_current_xact_id()::text as xid')
    drawn = BigInt(rows[0]?.xid ?? 0)
  }
  const { rows } = await pool.query<{ status: string }>('select pg_xact_status($1::xid8) as status', [xid.toString()])
  await pool.end()
  return rows[0]?.status
}

test.each([
  ['a publish', { publish: true, gid: undefined }],
  ['a call', { publish: false, gid: undefined }],
  ['a chosen gid', { publish: true, gid: 'chosen' }],
])('a transaction that a crash has forgotten is not taken for the one that got its xid (%s)', async (_, options) => {
  const { publish, gid } = options
  const outbox = createOutbox({ db: db.pool, wake: 'off', resolveMs: 5000 })
  let status: unknown
  const committing = outbox.commit(
    async (tx, message) => {
      await tx.query('insert into orders values ($1)', [String(options)])
      const { rows } = await tx.query<{ xid: string }>('select pg_current_xact_id()::text as xid')
      const query = tx.query.bind(tx) as (...args: unknown[]) => Promise<unknown>
      tx.query = (async (...args: unknown[]) => {
        if (args[0] === 'commit') status = await crashAndReuse(BigInt(rows[0]?.xid ?? 0))
        return await query(...args)
      }) as unknown as typeof tx.query
      if (publish) message.publish('a.b', 1)
      else message.call('stock', '/deduct', 1)
    },
    gid === undefined ? {} : { gid },
  )
  await expect(committing).rejects.toMatchObject({ code: 'POSTCOMMIT_COMMIT_ROLLED_BACK' })
  // If this fails, the server had written more than it must, and the test proves nothing.
  expect(status).toBe('committed')
  const { rows } = await db.pool.query('select from orders')
  expect(rows).toEqual([])
})
