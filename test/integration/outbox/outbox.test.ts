import { Kysely, PostgresDialect } from 'kysely'
import pg from 'pg'
import { createOutbox, PostcommitError } from 'postcommit'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { database, type TestDatabase } from '../../support/database.ts'
import { createFaultProxy } from '../../support/fault-proxy.ts'

interface Tables {
  orders: { id: string; note: string | null }
}

/** `query` without its overloads. */
type Query = (this: pg.PoolClient, ...args: unknown[]) => Promise<pg.QueryResult>

/** Has `look` called right before each COMMIT that a client of the pool sends, with a way to send something else. */
function beforeCommit(
  pool: pg.Pool,
  look: (query: (text: string) => Promise<pg.QueryResult>) => Promise<unknown>,
): void {
  pool.on('connect', (client) => {
    const query = client.query as unknown as Query
    client.query = (async (...args: unknown[]) => {
      if (args[0] === 'commit') await look((text) => query.call(client, text))
      return await query.apply(client, args)
    }) as unknown as typeof client.query
  })
}

interface LogRow {
  id: string
  xid: string
  gid: string
  branch: number
  topic: string
  key: string | null
  payload: string | null
  body: Buffer | null
  headers: string | null
}

let db: TestDatabase

beforeAll(async () => {
  db = await database()
  await db.pool.query(`create table orders (id text primary key, note text);
    create table parents (id text primary key);
    create table children (parent text references parents deferrable initially deferred)`)
})
afterAll(() => db.drop())
beforeEach(async () => {
  await db.pool.query(
    'truncate orders, parents, children, postcommit.outbox, postcommit.delivery, postcommit.barrier cascade',
  )
})

const rows = async <Row extends object>(text: string): Promise<Row[]> => (await db.pool.query<Row>(text)).rows
const log = () => rows<LogRow>('select * from postcommit.outbox order by id')
const deliveries = () => rows<Record<string, unknown>>('select * from postcommit.delivery order by id')
const orders = () => rows<{ id: string }>('select id from orders order by id')

const rejection = async (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => expect.unreachable('it resolved'),
    (error: unknown) => error,
  )
const code = async (promise: Promise<unknown>) => {
  const error = await rejection(promise)
  if (!(error instanceof PostcommitError)) throw error
  return error.code
}

/** The same outbox over both clients: `insert` is a business write through whichever transaction it is given. */
const clients = [
  {
    client: 'pg',
    open() {
      const outbox = createOutbox({ db: db.pool, wake: 'off' })
      const insert = (tx: pg.PoolClient, id: string) => tx.query('insert into orders (id) values ($1)', [id])
      type Work = (
        insert: (id: string) => Promise<unknown>,
        message: Parameters<Parameters<typeof outbox.commit>[0]>[1],
      ) => Promise<unknown>
      return {
        commit: (work: Work, options = {}) =>
          outbox.commit((tx, message) => work((id) => insert(tx, id), message), options),
      }
    },
  },
  {
    client: 'kysely',
    open() {
      // A Kysely instance would end the pool it is given when destroyed; it is not destroyed here.
      const kysely = new Kysely<Tables>({ dialect: new PostgresDialect({ pool: db.pool }) })
      const outbox = createOutbox({ db: kysely, wake: 'off' })
      type Work = (
        insert: (id: string) => Promise<unknown>,
        message: Parameters<Parameters<typeof outbox.commit>[0]>[1],
      ) => Promise<unknown>
      return {
        commit: (work: Work, options = {}) =>
          outbox.commit(
            (tx, message) => work((id) => tx.insertInto('orders').values({ id, note: null }).execute(), message),
            options,
          ),
      }
    },
  },
]

describe.each(clients)('commit over $client', ({ open }) => {
  test('writes business rows and messages in one transaction', async () => {
    const { gid, duplicated, value } = await open().commit(async (insert, message) => {
      await insert('1')
      message.publish('order.placed', { orderId: '1' }, { key: '1', headers: { 'X-Tenant': 'a' } })
      message.publish('order.picture', new Uint8Array([0, 255, 10]))
      message.call('stock', '/deduct?dry=1', { sku: 'x' }, { key: 'x' })
      return 'done'
    })
    expect({ duplicated, value }).toEqual({ duplicated: false, value: 'done' })
    const [placed, picture] = await log()
    expect(placed).toMatchObject({ gid, branch: 1, topic: 'order.placed', key: '1', payload: '{"orderId":"1"}' })
    expect(placed?.headers).toBe('{"x-tenant":"a"}')
    expect(picture).toMatchObject({ gid, branch: 2, payload: null, body: Buffer.from([0, 255, 10]) })
    expect(placed?.xid).toBe(picture?.xid)
    const expected = { gid, branch: 3, destination: 'stock', target: '/deduct?dry=1', key: 'x', state: 'pending' }
    expect(await deliveries()).toMatchObject([expected])
    expect(await orders()).toEqual([{ id: '1' }])
  })

  test('what the work throws is rethrown, and nothing is written', async () => {
    const boom = new Error('no stock')
    const work = open().commit(async (insert, message) => {
      await insert('1')
      message.publish('order.placed', {})
      throw boom
    })
    expect(await rejection(work)).toBe(boom)
    expect([await orders(), await log(), await deliveries()]).toEqual([[], [], []])
  })

  test('a swallowed database error fails loudly instead of committing nothing', async () => {
    const swallowing = (publish: boolean) =>
      open().commit(async (insert, message) => {
        await insert('1')
        await insert('1').catch(() => undefined)
        if (publish) message.publish('order.placed', {})
      })
    expect(await code(swallowing(true))).toBe('POSTCOMMIT_TX_ABORTED')
    expect(await code(swallowing(false))).toBe('POSTCOMMIT_TX_ABORTED')
    expect([await orders(), await log()]).toEqual([[], []])
  })

  test('a gid of the caller: the same again is a duplicate, other content a conflict, neither writes', async () => {
    const place = (payload: unknown, id?: string) =>
      open().commit(
        async (insert, message) => {
          if (id !== undefined) await insert(id)
          message.publish('order.placed', payload)
        },
        { gid: 'order-7' },
      )
    expect(await place({ n: 1 }, '7')).toMatchObject({ gid: 'order-7', duplicated: false })
    expect(await place({ n: 1 })).toEqual({ gid: 'order-7', duplicated: true })
    expect(await code(place({ n: 2 }))).toBe('POSTCOMMIT_GID_CONFLICT')
    expect(await code(place({ n: 1 }, '7'))).toBe('POSTCOMMIT_GID_ALREADY_COMMITTED')
    expect(await log()).toHaveLength(1)
    expect(await code(open().commit(async () => undefined, { gid: '../etc' }))).toBe('POSTCOMMIT_INVALID_GID')
  })

  test('two commits with one gid at the same time: one stands', async () => {
    const place = () =>
      open().commit(
        async (_, message) => {
          message.publish('order.placed', { n: 1 })
        },
        { gid: 'twice' },
      )
    const results = await Promise.all([place(), place(), place(), place()])
    expect(results.filter(({ duplicated }) => !duplicated)).toHaveLength(1)
    expect(await log()).toHaveLength(1)
  })

  test('synchronous_commit = off is raised for the transaction, so nobody can see what a crash would forget', async () => {
    await db.pool.query(`alter database ${db.name} set synchronous_commit = off`)
    try {
      const pool = new pg.Pool({ connectionString: db.url, max: 1 })
      const outbox = createOutbox({ db: pool, wake: 'off' })
      let during: string | undefined
      beforeCommit(pool, async (query) => {
        during = (await query('show synchronous_commit')).rows[0].synchronous_commit
      })
      await outbox.commit(async (tx, message) => {
        expect((await tx.query('show synchronous_commit')).rows).toEqual([{ synchronous_commit: 'off' }])
        message.publish('a.b', {})
      })
      expect(during).toBe('on')
      await pool.end()
    } finally {
      await db.pool.query(`alter database ${db.name} reset synchronous_commit`)
    }
  })

  test('a key is locked until COMMIT, so the ids of its messages rise in the order of the commits', async () => {
    const first = await db.pool.connect()
    const adding = createOutbox({ db: db.pool, wake: 'off' })
    await first.query('begin')
    await adding.add(first, (message) =>
      message.publish('a.b', 'first', { key: 'hot' }).publish('a.b', 0, { key: 'b' }),
    )
    let secondIsDone = false
    const publish = (payload: string, key: string) =>
      open().commit(async (_, message) => {
        message.publish('a.b', payload, { key })
      })
    const second = publish('second', 'hot').then(() => {
      secondIsDone = true
    })
    await publish('other', 'cold')
    await new Promise((resolve) => setTimeout(resolve, 200))
    expect(secondIsDone).toBe(false)
    await first.query('commit')
    first.release()
    await second
    const hot = (await log()).filter(({ key }) => key === 'hot').map(({ payload }) => payload)
    expect(hot).toEqual(['"first"', '"second"'])
  })

  test('the same two keys in either order never deadlock', async () => {
    const outbox = open()
    const publish = (keys: readonly string[]) =>
      outbox.commit(async (_, message) => {
        for (const key of keys) message.publish('a.b', 1, { key })
      })
    const commits = Array.from({ length: 60 }, (_, n) => publish(n % 2 === 0 ? ['a', 'b', 'c'] : ['c', 'b', 'a']))
    await Promise.all(commits)
    expect(await log()).toHaveLength(180)
  })

  test('a rolled back savepoint takes its messages with it', async () => {
    const client = await db.pool.connect()
    const outbox = createOutbox({ db: db.pool, wake: 'off' })
    await client.query('begin; savepoint s')
    await outbox.add(client, (message) => message.publish('a.b', 1))
    await client.query('rollback to savepoint s')
    await outbox.add(client, (message) => message.publish('a.b', 2))
    await client.query('commit')
    client.release()
    expect((await log()).map(({ payload }) => payload)).toEqual(['2'])
  })
})

describe('commit', () => {
  test('a constraint that fails at COMMIT is thrown as it is', async () => {
    const outbox = createOutbox({ db: db.pool, wake: 'off' })
    const work = outbox.commit(async (tx, message) => {
      await tx.query(`insert into children values ('nobody')`)
      message.publish('a.b', 1)
    })
    expect(await rejection(work)).toMatchObject({ code: '23503' })
    expect(await log()).toEqual([])
  })

  test('COMMIT answered ROLLBACK is not taken for a commit', async () => {
    const pool = new pg.Pool({ connectionString: db.url, max: 1 })
    // A query that was not awaited fails between the last statement and COMMIT.
    beforeCommit(pool, (query) => query('select 1 / 0').catch(() => undefined))
    const work = createOutbox({ db: pool, wake: 'off' }).commit(async (_tx, message) => void message.publish('a.b', 1))
    expect(await code(work)).toBe('POSTCOMMIT_COMMIT_ROLLED_BACK')
    expect(await log()).toEqual([])
    await pool.end()
  })

  test('if nobody can be asked what became of COMMIT, that is what is thrown, and it can be asked later', async () => {
    const { hostname, port } = new URL(db.url)
    const proxy = await createFaultProxy({ target: { host: hostname, port: Number(port) } })
    const pool = new pg.Pool({ connectionString: proxy.through(db.url) })
    pool.on('error', () => undefined)
    const outbox = createOutbox({ db: pool, wake: 'off', resolveMs: 300 })
    const cut = proxy.cutWhen('down', (bytes) => bytes.includes('COMMIT\0'))
    const committing = outbox.commit(async (tx, message) => {
      proxy.refuseNew()
      await tx.query(`insert into orders (id) values ('unknown')`)
      message.publish('a.b', 1)
    })
    const error = await rejection(committing)
    await cut
    expect(error).toMatchObject({ code: 'POSTCOMMIT_COMMIT_UNKNOWN', retryable: true })
    await proxy.acceptNew()
    expect(await (error as PostcommitError).resolve?.()).toBe(true)
    expect(await log()).toHaveLength(1)
    await pool.end()
    await proxy.close()
  })

  test('a message added after the work has returned is refused, not lost', async () => {
    const outbox = createOutbox({ db: db.pool, wake: 'off' })
    let late: (() => void) | undefined
    await outbox.commit(async (_, message) => {
      late = () => void message.publish('a.b', 1)
    })
    expect(late).toThrow('POSTCOMMIT_MESSAGE_CLOSED')
  })

  test('a delayed message waits in delivery, outside the order of its key', async () => {
    const outbox = createOutbox({ db: db.pool, wake: 'off' })
    const at = new Date(Date.now() + 3_600_000)
    await outbox.commit(async (_, message) => {
      message.publish('a.b', 1, { key: 'k', deliverAfter: 5000 }).call('stock', '/x', 2, { deliverAfter: at })
    })
    const [published, called] = await rows<Record<string, unknown>>(
      `select destination, target, key, headers, due_at, extract(epoch from due_at - created_at) as wait
       from postcommit.delivery order by id`,
    )
    expect(published).toMatchObject({
      destination: 'nats',
      target: 'a.b',
      key: null,
      headers: '{"postcommit-key":"k"}',
    })
    expect(Number(published?.['wait'])).toBeCloseTo(5, 1)
    expect(called?.['due_at']).toEqual(at)
    expect(await log()).toEqual([])
  })

  test('isolation levels are passed on', async () => {
    const outbox = createOutbox({ db: db.pool, wake: 'off' })
    const { value } = await outbox.commit(
      async (tx) => (await tx.query('show transaction_isolation')).rows[0].transaction_isolation as string,
      { isolationLevel: 'serializable' },
    )
    expect(value).toBe('serializable')
  })
})

describe('add', () => {
  test('outside a transaction it refuses and writes nothing', async () => {
    const outbox = createOutbox({ db: db.pool, wake: 'off' })
    const client = await db.pool.connect()
    expect(await code(outbox.add(client, (message) => message.publish('a.b', 1)))).toBe('POSTCOMMIT_NOT_IN_TRANSACTION')
    client.release()
    const kysely = new Kysely<Tables>({ dialect: new PostgresDialect({ pool: db.pool }) })
    const overKysely = createOutbox({ db: kysely, wake: 'off' })
    // The type refuses it too; a caller in JavaScript gets this far.
    const notATransaction = kysely as never
    const added = overKysely.add(notATransaction, (message) => message.publish('a.b', 1))
    expect(await code(added)).toBe('POSTCOMMIT_NOT_IN_TRANSACTION')
    expect(await log()).toEqual([])
  })

  test('in a failed transaction it says so', async () => {
    const outbox = createOutbox({ db: db.pool, wake: 'off' })
    const client = await db.pool.connect()
    await client.query('begin')
    await client.query('select 1 / 0').catch(() => undefined)
    expect(await code(outbox.add(client, (message) => message.publish('a.b', 1)))).toBe('POSTCOMMIT_TX_ABORTED')
    await client.query('rollback')
    client.release()
  })

  test('its messages share the fate of the caller’s transaction, and a gid makes it idempotent', async () => {
    const outbox = createOutbox({ db: db.pool, wake: 'off' })
    const client = await db.pool.connect()
    const add = async (n: number, end: 'commit' | 'rollback') => {
      await client.query('begin')
      const added = outbox.add(client, (message) => message.publish('a.b', n), { gid: 'mine' })
      const result = await added.catch((error: PostcommitError) => error.code)
      await client.query(end)
      return typeof result === 'string' ? result : result.duplicated
    }
    expect(await add(1, 'rollback')).toBe(false)
    expect(await add(1, 'commit')).toBe(false)
    expect(await add(1, 'commit')).toBe(true)
    expect(await add(2, 'commit')).toBe('POSTCOMMIT_GID_CONFLICT')
    client.release()
    expect(await log()).toHaveLength(1)
  })
})
