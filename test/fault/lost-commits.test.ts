import pg from 'pg'
import { createOutbox, type MessageDraft, type PostcommitError } from 'postcommit'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { database, type TestDatabase } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { createFaultProxy, type FaultProxy } from '../support/fault-proxy.ts'

// The last statement and COMMIT are one flight. Wherever the connection is cut in it, what the service is told must be
// what happened.
let db: TestDatabase
let proxy: FaultProxy
let pool: pg.Pool
let trial = 0

beforeAll(async () => {
  db = await database()
  await db.pool.query('create table orders (id text primary key)')
  const { hostname, port } = new URL(db.url)
  proxy = await createFaultProxy({ target: { host: hostname, port: Number(port) } })
  pool = new pg.Pool({ connectionString: proxy.through(db.url), max: 2 })
  pool.on('error', () => undefined)
})
afterAll(async () => {
  await pool.end()
  await proxy.close()
  await db.drop()
})

const messages = {
  one: (message: MessageDraft, key: string) => message.publish('a.b', { n: 1 }, { key }),
  several: (message: MessageDraft, key: string) => message.publish('a.b', { n: 1 }, { key }).call('stock', '/x', 2),
}

/** One commit over the proxy; resolves to what the service was told. */
async function place(id: string, write: keyof typeof messages, options: { resolveMs?: number; key?: string } = {}) {
  const outbox = createOutbox({ db: pool, wake: 'off', resolveMs: options.resolveMs ?? 10_000 })
  const told = outbox.commit(async (tx, message) => {
    await tx.query('insert into orders (id) values ($1)', [id])
    messages[write](message, options.key ?? id)
  })
  return await told.then(
    () => 'committed',
    (error: unknown) => error,
  )
}

/** What is in the database when nothing is under way there any more. */
async function truth(id: string): Promise<'committed' | 'nothing'> {
  await eventually(async () => {
    const { rows } = await db.pool.query(`select from pg_stat_activity
      where datname = current_database() and pid <> pg_backend_pid() and (state <> 'idle' or backend_xid is not null)`)
    expect(rows).toEqual([])
  })
  const { rows } = await db.pool.query<{ orders: number; messages: number }>(
    `select (select count(*)::int from orders where id = $1) as orders,
      (select count(*)::int from postcommit.outbox where key = $1) as messages`,
    [id],
  )
  const [{ orders, messages } = { orders: -1, messages: -1 }] = rows
  expect([0, 1]).toContain(orders)
  expect(messages).toBe(orders)
  return orders === 1 ? 'committed' : 'nothing'
}

const UP = (bytes: Buffer) => bytes.includes('postcommit.write_message')
const DOWN = (bytes: Buffer) => bytes.includes('COMMIT\0')

test.each([
  ['one', 'up', UP, 500],
  ['several', 'up', UP, 2400],
  ['one', 'down', DOWN, 90],
  ['several', 'down', DOWN, 90],
] as const)(
  '%s: cut %s in the middle of the flight, what is told is what happened',
  async (write, way, holds, bytes) => {
    const seen = { committed: 0, nothing: 0 }
    const step = bytes / 30
    for (let after = 0; after <= bytes; after += step) {
      trial += 1
      const id = `cut-${trial}`
      const cut = proxy.cutWhen(way, holds, Math.round(after))
      const told = await place(id, write)
      await cut
      const happened = await truth(id)
      seen[happened] += 1
      if (told === 'committed') expect(happened, `after ${after} bytes ${way}`).toBe('committed')
      else {
        expect(told).toMatchObject({ code: 'POSTCOMMIT_COMMIT_ROLLED_BACK' })
        expect(happened, `after ${after} bytes ${way}`).toBe('nothing')
      }
    }
    // Either way it is the same at the other end of the flight, or nothing was tried.
    expect(seen.committed).toBeGreaterThan(0)
    if (way === 'up') expect(seen.nothing).toBeGreaterThan(0)
  },
)

test.each(['commit', 'rollback'] as const)(
  'cut while the server waits for a key that ends by %s: nobody is told anything that may change',
  async (end) => {
    const holder = await db.pool.connect()
    const id = `waiting-${end}`
    let told: unknown
    try {
      await holder.query('begin')
      await createOutbox({ db: db.pool }).add(holder, (message) => message.publish('a.b', 0, { key: `held-${end}` }))
      // The whole flight arrives; its answer cannot, and PostgreSQL does not look while it waits for a lock.
      const cut = proxy.cutWhen('up', UP, 100_000)
      told = await place(id, 'one', { resolveMs: 300, key: `held-${end}` })
      await cut
      expect(told).toMatchObject({ code: 'POSTCOMMIT_COMMIT_UNKNOWN', retryable: true })
    } finally {
      await holder.query(end)
      holder.release()
    }
    const stands = await eventually(async () => await (told as PostcommitError).resolve?.())
    const { rows } = await db.pool.query('select from orders where id = $1', [id])
    expect([stands, rows.length]).toEqual([true, 1])
  },
)
