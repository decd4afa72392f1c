import type { PostgresServer } from '@postcommit/relay/dev'
import pg from 'pg'
import { createOutbox } from 'postcommit'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { database, type TestDatabase } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { createFaultProxy, type FaultProxy } from '../support/fault-proxy.ts'
import { privatePostgres } from '../support/private-servers.ts'

let postgres: PostgresServer
let db: TestDatabase
let proxy: FaultProxy

beforeAll(async () => {
  // What is not flushed by a commit stays in memory for as long as PostgreSQL lets us have it, and dies with it.
  postgres = await privatePostgres({ settings: { wal_writer_delay: '10s', autovacuum: 'off' } })
  db = await database({ server: postgres.url })
  await db.pool.query('create table orders (id text primary key)')
  const { hostname, port } = new URL(db.url)
  proxy = await createFaultProxy({ target: { host: hostname, port: Number(port) } })
})
afterAll(async () => {
  await proxy.close()
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

const writes = [
  ['a publish', { publish: true, gid: undefined }],
  ['a call', { publish: false, gid: undefined }],
  ['a chosen gid', { publish: true, gid: 'chosen' }],
] as const
// The messages and COMMIT in one flight, or the messages before: then the crash forgets them too.
const flights = [
  ['with COMMIT', { pipeline: false }],
  ['before COMMIT', { pipeline: true }],
] as const

test.each(
  writes.flatMap(([what, write]) => flights.map(([how, flight]) => [what, how, { ...write, ...flight }] as const)),
)(
  'a transaction that a crash has forgotten is not taken for the one that got its xid (%s, written %s)',
  async (_, __, { publish, gid, pipeline }) => {
    const pool = new pg.Pool({ connectionString: proxy.through(db.url), pipeline })
    pool.on('error', () => undefined)
    const outbox = createOutbox({ db: pool, wake: 'off', resolveMs: 5000 })
    let xid: bigint | undefined
    let status: unknown
    let sent: unknown
    // Below what the SDK hands to the work: it sends COMMIT past the methods that the work sees.
    pool.on('connect', (client) => {
      const query = client.query.bind(client) as (...args: unknown[]) => Promise<unknown>
      client.query = (async (...args: [string | { text: string }]) => {
        const text = typeof args[0] === 'string' ? args[0] : args[0].text
        if (text !== 'commit' || xid === undefined) return await query(...args)
        sent = args[0]
        // It goes out and does not arrive.
        proxy.blackhole('up')
        const committed = query(...args).then(
          () => undefined,
          (error: unknown) => error,
        )
        status = await crashAndReuse(xid)
        proxy.heal()
        throw await committed
      }) as unknown as typeof client.query
    })
    const committing = outbox.commit(
      async (tx, message) => {
        await tx.query('insert into orders values ($1)', ['forgotten'])
        const { rows } = await tx.query<{ xid: string }>('select pg_current_xact_id()::text as xid')
        xid = BigInt(rows[0]?.xid ?? 0)
        if (publish) message.publish('a.b', 1)
        else message.call('stock', '/deduct', 1)
      },
      gid === undefined ? {} : { gid },
    )
    await expect(committing).rejects.toMatchObject({ code: 'POSTCOMMIT_COMMIT_ROLLED_BACK' })
    // If this fails, the server had written more than it must, and the test proves nothing.
    expect(status).toBe('committed')
    expect(typeof sent).toBe(pipeline ? 'string' : 'object')
    const { rows } = await db.pool.query('select from orders')
    expect(rows).toEqual([])
    await pool.end()
  },
)
