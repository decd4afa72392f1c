import { Kysely, PostgresDialect, sql } from 'kysely'
import pg from 'pg'
import {
  createInbox,
  handler,
  type InboxDelivery,
  type InboxLimits,
  type InboxResult,
  PostcommitError,
} from 'postcommit'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { database, type TestDatabase } from '../../support/database.ts'
import { eventually } from '../../support/eventually.ts'
import { createFaultProxy } from '../../support/fault-proxy.ts'

interface Tables {
  effect: { id: string }
}

let db: TestDatabase

beforeAll(async () => {
  db = await database()
  await db.pool.query(`create table effect (id text not null);
    create table parent (id text primary key);
    create table child (parent text references parent deferrable initially deferred)`)
})
afterAll(() => db.drop())
beforeEach(async () => {
  await db.pool.query('truncate effect, parent, child, postcommit.barrier')
})

const delivery = (gid: string, content: string | Uint8Array = '{}', branch = 1): InboxDelivery => ({
  gid,
  branch,
  content,
})
const effects = async () => (await db.pool.query<{ id: string }>('select id from effect')).rows.map(({ id }) => id)
const receipts = async () =>
  (await db.pool.query('select gid, branch, op, barrier_id from postcommit.barrier order by 1, 2, 4')).rows

type Run = (statement: string, values?: unknown[]) => Promise<unknown>
type Once = <T>(delivery: InboxDelivery, work: (run: Run) => Promise<T> | T) => Promise<InboxResult<T>>

/** The same inbox over both clients; `run` is a statement in the transaction it is given. */
const clients: readonly {
  readonly client: string
  readonly open: (pool: pg.Pool, options?: InboxLimits & { readonly consumer?: string }) => Once
}[] = [
  {
    client: 'pg',
    open: (pool, options = {}) => {
      const inbox = createInbox({ db: pool, consumer: 'stock', ...options })
      return (one, work) => inbox.once(one, (tx) => work((statement, values) => tx.query(statement, values)))
    },
  },
  {
    client: 'kysely',
    open: (pool, options = {}) => {
      const kysely = new Kysely<Tables>({ dialect: new PostgresDialect({ pool }) })
      const inbox = createInbox({ db: kysely, consumer: 'stock', ...options })
      return (one, work) => inbox.once(one, (tx) => work((statement) => sql.raw(statement).execute(tx)))
    },
  },
]

const insert = (id: string) => (run: Run) => run(`insert into effect values ('${id}')`)
const code = async (promise: Promise<unknown>) =>
  await promise.then(
    () => 'it resolved',
    (error: unknown) => (error instanceof PostcommitError ? error.code : error),
  )

describe.each(clients)('an inbox over $client', ({ open }) => {
  test('takes effect once, and says of the second delivery that it is one', async () => {
    const once = open(db.pool)
    const first = await once(delivery('g1'), async (run) => {
      await insert('a')(run)
      return 'done'
    })
    expect(first).toEqual({ duplicate: false, value: 'done' })
    expect(await once(delivery('g1'), insert('a'))).toEqual({ duplicate: true })
    expect(await effects()).toEqual(['a'])
    expect(await receipts()).toEqual([{ gid: 'g1', branch: '1', op: 'inbox', barrier_id: 'stock' }])
  })

  test('other branches and other consumers are other messages', async () => {
    await open(db.pool)(delivery('g1'), insert('a'))
    expect(await open(db.pool)(delivery('g1', '{}', 2), insert('b'))).toMatchObject({ duplicate: false })
    expect(await open(db.pool, { consumer: 'mail' })(delivery('g1'), insert('c'))).toMatchObject({ duplicate: false })
    expect(await effects()).toEqual(['a', 'b', 'c'])
  })

  test('the same id with other content is refused and not run, as text or bytes', async () => {
    const once = open(db.pool)
    await once(delivery('g1', '{"n":1}'), insert('a'))
    expect(await once(delivery('g1', new TextEncoder().encode('{"n":1}')), insert('a'))).toEqual({ duplicate: true })
    expect(await code(once(delivery('g1', '{"n":2}'), insert('b')))).toBe('POSTCOMMIT_INBOX_ID_REUSED')
    expect(await effects()).toEqual(['a'])
  })

  test('of deliveries at the same time one runs and the others wait for it', async () => {
    const once = open(db.pool)
    let running = 0
    const results = await Promise.all(
      Array.from({ length: 5 }, () =>
        once(delivery('g1'), async (run) => {
          running += 1
          await run('select pg_sleep(0.2)')
          await insert('a')(run)
        }),
      ),
    )
    expect(running).toBe(1)
    expect(results.filter(({ duplicate }) => duplicate)).toHaveLength(4)
    expect(await effects()).toEqual(['a'])
  })

  test('if the first fails, the one that waited runs', async () => {
    const once = open(db.pool)
    let begin: () => void = () => undefined
    const begun = new Promise<void>((resolve) => {
      begin = resolve
    })
    const failing = once(delivery('g1'), async (run) => {
      begin()
      await run('select pg_sleep(0.2)')
      throw new Error('no')
    })
    await begun
    const [first, second] = await Promise.allSettled([failing, once(delivery('g1'), insert('a'))])
    expect(first).toMatchObject({ status: 'rejected', reason: { message: 'no' } })
    expect(second).toMatchObject({ status: 'fulfilled', value: { duplicate: false } })
    expect(await effects()).toEqual(['a'])
  })

  test('what the work throws rolls everything back and comes out as it is', async () => {
    const once = open(db.pool)
    const error = new Error('out of stock')
    const failed = once(delivery('g1'), async (run) => {
      await insert('a')(run)
      throw error
    })
    await expect(failed).rejects.toBe(error)
    expect(await effects()).toEqual([])
    expect(await receipts()).toEqual([])
  })

  test('a statement that failed and was swallowed does not look like a commit', async () => {
    const once = open(db.pool)
    const swallowing = once(delivery('g1'), async (run) => {
      await insert('a')(run)
      await run('select 1 / 0').catch(() => undefined)
    })
    expect(await code(swallowing)).toBe('POSTCOMMIT_TX_ABORTED')
    expect(await effects()).toEqual([])
  })

  test('a delivery that is being handled is waited for with a limit, its session is named, and the next is served', async () => {
    const pool = new pg.Pool({ connectionString: db.url, max: 1 })
    const once = open(pool, { waitMs: 100 })
    const blocker = await db.pool.connect()
    const [{ pid }] = (await blocker.query('select pg_backend_pid() as pid')).rows
    await blocker.query(`begin; insert into postcommit.barrier (gid, branch, op, barrier_id, reason)
      values ('g1', '1', 'inbox', 'stock', 'inbox')`)
    const refused = once(delivery('g1'), insert('a'))
    await expect(refused).rejects.toMatchObject({
      code: 'POSTCOMMIT_INBOX_IN_PROGRESS',
      message: expect.stringContaining(`process ${pid} `),
    })
    await blocker.query('rollback')
    blocker.release()
    expect(await once(delivery('g1'), insert('a'))).toMatchObject({ duplicate: false })
    expect(await effects()).toEqual(['a'])
    await pool.end()
  })

  test('a consumer that falls silent between two statements keeps the message for a limited time', async () => {
    const pool = new pg.Pool({ connectionString: db.url })
    // As the documents tell users of Kysely to.
    pool.on('connect', (client) => client.on('error', () => undefined))
    const silent = open(pool, { idleMs: 1000 })
    const once = open(db.pool, { waitMs: 100 })
    let wake: () => void = () => undefined
    const begun = new Promise<void>((resolve) => {
      void silent(delivery('g1'), async (run) => {
        resolve()
        await new Promise<void>((woken) => {
          wake = woken
        })
        await insert('late')(run)
      }).catch(() => undefined)
    })
    await begun
    const retries = Array.from({ length: 5 }, () => code(once(delivery('g1'), insert('a'))))
    expect(new Set(await Promise.all(retries))).toEqual(new Set(['POSTCOMMIT_INBOX_IN_PROGRESS']))
    await eventually(async () => expect(await once(delivery('g1'), insert('a'))).toEqual(expect.anything()))
    wake()
    expect(await effects()).toEqual(['a'])
    await pool.end()
  })

  test.each([
    ['0', '1min'],
    ['5s', '5s'],
    ['1h', '1min'],
  ])('a session that may be idle for %s in a transaction may be for %s, the locks as before', async (before, then) => {
    const options = `-c idle_in_transaction_session_timeout=${before} -c lock_timeout=7s`
    const pool = new pg.Pool({ connectionString: db.url, max: 1, options })
    const { value } = await open(pool, { idleMs: 60_000 })(delivery('g1'), (run) =>
      run(
        `select current_setting('idle_in_transaction_session_timeout') as idle, current_setting('lock_timeout') as lock`,
      ),
    )
    expect(value).toMatchObject({ rows: [{ idle: then, lock: '7s' }] })
    expect((await pool.query('show idle_in_transaction_session_timeout')).rows).toEqual([
      { idle_in_transaction_session_timeout: before },
    ])
    await pool.end()
  })

  test('a constraint that fails at COMMIT is the error that it is', async () => {
    const failed = open(db.pool)(delivery('g1'), (run) => run("insert into child values ('nobody')"))
    await expect(failed).rejects.toMatchObject({ code: '23503' })
    expect(await receipts()).toEqual([])
  })

  test('a COMMIT whose answer is lost is not known, and the next delivery finds out', async () => {
    const { hostname, port } = new URL(db.url)
    await using proxy = await createFaultProxy({ target: { host: hostname, port: Number(port) } })
    const pool = new pg.Pool({ connectionString: proxy.through(db.url) })
    pool.on('error', () => undefined)
    // Kysely leaves a connection that dies while it is checked out without a listener, which would end the process.
    pool.on('connect', (client) => client.on('error', () => undefined))
    const once = open(pool)
    void proxy.cutWhen('down', (bytes) => bytes.includes('COMMIT\0'))
    expect(await code(once(delivery('g1'), insert('a')))).toBe('POSTCOMMIT_INBOX_COMMIT_UNKNOWN')
    expect(await once(delivery('g1'), insert('a'))).toEqual({ duplicate: true })
    expect(await effects()).toEqual(['a'])
    await pool.end()
  })

  test.each([
    ['off', 'on'],
    ['remote_apply', 'remote_apply'],
  ])('commits durably where the session says synchronous_commit = %s', async (setting, expected) => {
    const pool = new pg.Pool({ connectionString: db.url, options: `-c synchronous_commit=${setting}` })
    const { value } = await open(pool)(delivery('g1'), (run) => run('show synchronous_commit'))
    expect(value).toMatchObject({ rows: [{ synchronous_commit: expected }] })
    await pool.end()
  })
})

describe('purge', () => {
  test('forgets what is older, of this consumer alone', async () => {
    const inbox = createInbox({ db: db.pool, consumer: 'stock' })
    await inbox.once(delivery('old'), () => undefined)
    await createInbox({ db: db.pool, consumer: 'mail' }).once(delivery('old'), () => undefined)
    await db.pool.query(
      "insert into postcommit.barrier (gid, branch, op, reason) values ('old', '', 'commit', 'commit')",
    )
    await db.pool.query("update postcommit.barrier set created_at = clock_timestamp() - interval '2 days'")
    await inbox.once(delivery('new'), () => undefined)
    expect(await inbox.purge({ olderThanMs: 24 * 3_600_000 })).toBe(1)
    expect(await receipts()).toEqual([
      { gid: 'new', branch: '1', op: 'inbox', barrier_id: 'stock' },
      { gid: 'old', branch: '', op: 'commit', barrier_id: '' },
      { gid: 'old', branch: '1', op: 'inbox', barrier_id: 'mail' },
    ])
  })

  test('goes on batch after batch', async () => {
    await db.pool.query(`insert into postcommit.barrier (gid, branch, op, barrier_id, reason, created_at)
      select n::text, '1', 'inbox', 'stock', 'inbox', clock_timestamp() - interval '1 hour' from generate_series(1, 12000) n`)
    expect(await createInbox({ db: db.pool, consumer: 'stock' }).purge({ olderThanMs: 60_000 })).toBe(12_000)
  })

  test.each([0, -1, 1.5, Number.NaN])('refuses an age of %s', async (olderThanMs) => {
    const inbox = createInbox({ db: db.pool, consumer: 'stock' })
    expect(await code(inbox.purge({ olderThanMs }))).toBe('POSTCOMMIT_INVALID_OPTIONS')
  })
})

describe('createInbox', () => {
  test.each(['', 'a b', 'x'.repeat(65)])('refuses consumer %j', (consumer) => {
    expect(() => createInbox({ db: db.pool, consumer })).toThrow(
      expect.objectContaining({ code: 'POSTCOMMIT_INVALID_OPTIONS' }),
    )
  })

  test('a delivery with an impossible gid is refused before anything is written', async () => {
    const inbox = createInbox({ db: db.pool, consumer: 'stock' })
    expect(await code(inbox.once(delivery('../etc'), () => undefined))).toBe('POSTCOMMIT_INVALID_GID')
  })
})

describe('a handler over an inbox', () => {
  test('takes effect of a call once, in the transaction that it is given', async () => {
    const kysely = new Kysely<Tables>({ dialect: new PostgresDialect({ pool: db.pool }) })
    const place = handler({
      secrets: 'unsigned',
      schema: z.object({ id: z.string() }),
      inbox: createInbox({ db: kysely, consumer: 'stock' }),
      // The types of both arguments come from the schema and the inbox.
      handle: ({ payload }, tx) => tx.insertInto('effect').values({ id: payload.id }).execute(),
    })
    const call = (id: string, body: unknown) => {
      const headers = { 'content-type': 'application/json', 'webhook-id': id }
      return place.fetch(new Request('http://stock/', { method: 'POST', headers, body: JSON.stringify(body) }))
    }
    const replies = [await call('g1:1', { id: 'a' }), await call('g1:1', { id: 'a' }), await call('g1:1', { id: 'b' })]
    expect(replies.map(({ status }) => status)).toEqual([204, 204, 409])
    expect(replies.map(({ headers }) => headers.get('postcommit-outcome'))).toEqual([null, 'duplicate', null])
    expect(await effects()).toEqual(['a'])
  })
})
