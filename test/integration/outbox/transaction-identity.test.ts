import { Kysely, PostgresDialect, sql } from 'kysely'
import pg from 'pg'
import { createInbox, createOutbox, createRelayClient, type MessageDraft } from 'postcommit'
import { createBarrier } from 'postcommit/barrier'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { database, type TestDatabase } from '../../support/database.ts'
import { type RelayDouble, relayDouble } from '../../support/relay-double.ts'

let db: TestDatabase
let pool: pg.Pool
let kysely: Kysely<unknown>
let double: RelayDouble

beforeAll(async () => {
  db = await database()
  pool = new pg.Pool({ connectionString: db.url, max: 3 })
  kysely = new Kysely({ dialect: new PostgresDialect({ pool }) })
  double = await relayDouble()
  await pool.query('create table orders (id text)')
})
afterAll(async () => {
  await kysely.destroy()
  await double[Symbol.asyncDispose]()
  await db.drop()
})
beforeEach(() => pool.query('truncate orders, postcommit.outbox, postcommit.delivery, postcommit.barrier cascade'))

type Say = (text: string) => Promise<unknown>
type Failure = { readonly code?: string; readonly message?: string }
const failure = (promise: Promise<unknown>): Promise<Failure> =>
  promise.then(
    (value) => ({ message: `it resolved to ${JSON.stringify(value)}` }),
    (error: Failure) => ({ ...(error.code !== undefined && { code: error.code }), message: String(error.message) }),
  )
const rows = async () => (await pool.query('select id from orders order by id')).rows.map(({ id }) => id)
const messages = async () =>
  (
    await pool.query(
      `select (select count(*) from postcommit.outbox)::int + (select count(*) from postcommit.delivery)::int as n`,
    )
  ).rows[0].n
const noted = async () => (await pool.query('select count(*)::int as n from postcommit.barrier')).rows[0].n

/** Every way in which a transaction of ours is opened for work that is the user's, over either client. */
const ways: Readonly<
  Record<
    string,
    (client: 'pg' | 'kysely', work: (say: Say, message?: MessageDraft) => Promise<unknown>) => Promise<unknown>
  >
> = {
  'commit, one message': (client, work) =>
    committing(client, (say, message) => {
      message?.publish('order.placed', 1, { key: 'k' })
      return work(say)
    }),
  'commit, several messages and calls': (client, work) =>
    committing(client, (say, message) => {
      message?.publish('order.placed', 1).call('stock', '/deduct', 2)
      return work(say)
    }),
  'commit, no message': (client, work) => committing(client, work),
  'commit, messages that are announced': async (client, work) => {
    const relay = createRelayClient({ url: double.url })
    const options = { relay, backQuery: { url: 'http://127.0.0.1:9/back-query' } }
    const run =
      client === 'pg'
        ? createOutbox({ db: pool, ...options }).commit((tx, message) => {
            message.publish('order.placed', 1)
            return work((text) => tx.query(text))
          })
        : createOutbox({ db: kysely, ...options }).commit((tx, message) => {
            message.publish('order.placed', 1)
            return work((text) => sql.raw(text).execute(tx))
          })
    try {
      await run
    } finally {
      await relay.close()
    }
  },
  'inbox.once': (client, work) => {
    const delivery = { gid: 'g', branch: 1, content: '1' }
    return client === 'pg'
      ? createInbox({ db: pool, consumer: 'c' }).once(delivery, (tx) => work((text) => tx.query(text)))
      : createInbox({ db: kysely, consumer: 'c' }).once(delivery, (tx) => work((text) => sql.raw(text).execute(tx)))
  },
  'barrier.call': (client, work) => {
    const barrier = createBarrier({ gid: 'g', branch: '01', op: 'action' })
    return client === 'pg'
      ? barrier.call(pool, (tx) => work((text) => tx.query(text)))
      : barrier.call(kysely, (tx) => work((text) => sql.raw(text).execute(tx)))
  },
}

function committing(client: 'pg' | 'kysely', work: (say: Say, message: MessageDraft) => Promise<unknown>) {
  return client === 'pg'
    ? createOutbox({ db: pool }).commit((tx, message) => work((text) => tx.query(text), message))
    : createOutbox({ db: kysely }).commit((tx, message) => work((text) => sql.raw(text).execute(tx), message))
}

const clients = ['pg', 'kysely'] as const
const all = Object.entries(ways).flatMap(([way, open]) => clients.map((client) => ({ way, client, open })))

describe.each(all)('$way over $client', ({ client, open }) => {
  test.each(['commit', 'ROLLBACK', 'begin', 'start transaction', ' ;abort', 'end', "prepare transaction 'p'"])(
    '%s is refused before it is sent, and nothing stands',
    async (control) => {
      const { code } = await failure(
        open(client, async (say) => {
          await say(`insert into orders values ('before')`)
          await say(control)
          await say(`insert into orders values ('after')`)
        }),
      )
      expect(code).toBe('POSTCOMMIT_TX_CONTROL')
      expect([await rows(), await messages(), await noted()]).toEqual([[], 0, 0])
    },
  )

  test('a helper that swallows all of it leaves nothing, because what it would have undone would stand', async () => {
    const { code } = await failure(
      open(client, async (say) => {
        await say(`insert into orders values ('before')`)
        await say('begin').catch(() => undefined)
        await say(`insert into orders values ('to be undone')`)
        await say('/* undone */ rollback').catch(() => undefined)
        await say(`insert into orders values ('after')`)
      }),
    )
    expect(code).toBe('POSTCOMMIT_TX_CONTROL')
    expect([await rows(), await messages(), await noted()]).toEqual([[], 0, 0])
  })

  test('savepoints are the work’s own', async () => {
    await open(client, async (say) => {
      await say('savepoint a')
      await say(`insert into orders values ('undone')`)
      await say('rollback to savepoint a')
      await say('rollback to a')
      await say('release a')
      await say(`insert into orders values ('kept')`)
    })
    expect(await rows()).toEqual(['kept'])
  })
})

// A text of several statements gets past the look at its first word: then the server refuses what comes last.
describe.each(all.filter(({ client }) => client === 'pg'))('$way: what gets past', ({ open }) => {
  test.each([
    ['select 1; rollback', /rolled back|if it was committed/, []],
    ['select 1; rollback; begin', /rolled back|if it was committed/, []],
    ['select 1; commit', /was committed/, ['before']],
    ['select 1; commit; begin', /was committed/, ['before']],
  ])('%s: it is said so, and no message and no note follow', async (texts, said, left) => {
    const { code, message } = await failure(
      open('pg', async (say) => {
        await say(`insert into orders values ('before')`)
        await say(texts)
      }),
    )
    expect(code).toBe('POSTCOMMIT_TX_ENDED')
    expect(message).toMatch(said)
    expect(await rows()).toEqual(left)
    expect(await messages()).toBe(0)
    // The connection is of use to the next one.
    await open('pg', (say) => say(`insert into orders values ('next')`)).catch(() => undefined)
  })
})

test('whether the rows of the work stand is said where it is known', async () => {
  const ended = (texts: string) =>
    failure(
      committing('pg', async (say, message) => {
        message.publish('order.placed', 1)
        await say(`insert into orders values ('before')`)
        await say(texts)
      }),
    )
  expect((await ended('select 1; commit')).message).toContain(
    'it was committed, and what the work wrote stands without',
  )
  expect((await ended('select 1; rollback')).message).toContain('it was rolled back, and nothing')
})

test('the statement that writes refuses by itself, outside of a transaction and in another one', async () => {
  const write = `select postcommit.write_message('mine', 'g', 1, 'a.b', null, '1', null, null)`
  expect((await failure(pool.query(write))).code).toBe('PC001')
  const client = await pool.connect()
  await client.query(`begin; set local postcommit.transaction = 'other'`)
  expect((await failure(client.query(write))).code).toBe('PC001')
  await client.query('rollback')
  const several = `select postcommit.write_messages('mine', '{g}', '{1}', '{stock}', '{/}', '{null}', '{null}', '{1}', '{null}', '{null}', '{null}')`
  expect((await failure(client.query(several))).code).toBe('PC001')
  client.release()
  expect(await messages()).toBe(0)
})

test('a client that the work gives back is not given back', async () => {
  const { code, message } = await failure(
    createOutbox({ db: pool }).commit(async (tx, draft) => {
      draft.publish('order.placed', 1)
      await tx.query(`insert into orders values ('before')`)
      tx.release()
    }),
  )
  expect([code, message]).toEqual(['POSTCOMMIT_TX_CONTROL', expect.stringContaining('client.release()')])
  expect([await rows(), await messages()]).toEqual([[], 0])
  await committing('pg', (say) => say(`insert into orders values ('next')`))
  expect(await rows()).toEqual(['next'])
})

test('add() in a Kysely transaction that is over writes nothing', async () => {
  const outbox = createOutbox({ db: kysely })
  const { code } = await failure(
    kysely.transaction().execute(async (tx) => {
      await sql`rollback`.execute(tx)
      await outbox.add(tx, (message) => message.publish('order.placed', 1))
    }),
  )
  expect(code).toBe('POSTCOMMIT_NOT_IN_TRANSACTION')
  expect(await messages()).toBe(0)
})

describe('what is no transaction', () => {
  test('a client or a transaction in place of a database is refused at once, and the error says what to call', async () => {
    const client = new pg.Client({ connectionString: db.url })
    expect(() => createOutbox({ db: client as unknown as pg.Pool })).toThrow(/db is a pg Client.*outbox\.add\(client/s)
    await kysely.transaction().execute(async (tx) => {
      expect(() => createOutbox({ db: tx })).toThrow(/db is a Kysely transaction.*outbox\.add\(tx/s)
    })
  })

  test('the objects of ORMs are refused, and the error says what to give instead', async () => {
    const outbox = createOutbox({ db: pool })
    for (const manager of [{ query: async () => [] }, { session: {}, insert: () => undefined }]) {
      const { code, message } = await failure(outbox.add(manager as never, (draft) => draft.publish('a.b', 1)))
      expect([code, message]).toEqual(['POSTCOMMIT_INVALID_OPTIONS', expect.stringContaining('Drizzle')])
    }
  })

  test('a client of its own is taken by add()', async () => {
    const client = new pg.Client({ connectionString: db.url })
    await client.connect()
    await client.query('begin')
    await createOutbox({ db: pool }).add(client, (draft) => draft.publish('a.b', 1))
    await client.query('commit')
    await client.end()
    expect(await messages()).toBe(1)
  })
})

describe('a database without the schema, or with that of an older release', () => {
  test.each([
    ['drop schema postcommit cascade', 'is missing'],
    ['drop function postcommit.write_message; drop function postcommit.write_messages', 'is older'],
  ])('%s: commit says what to run', async (change) => {
    const other = await database()
    try {
      await other.pool.query(change)
      const noWork = (_tx: unknown, draft: MessageDraft) => void draft.publish('a.b', 1)
      const over = new Kysely<unknown>({ dialect: new PostgresDialect({ pool: other.pool }) })
      const outbox = createOutbox({ db: other.pool })
      // Of the last two the message goes with COMMIT, in the flight whose errors can also be of deferred triggers.
      const sent = [
        () => outbox.commit(noWork),
        () => createOutbox({ db: over }).commit(noWork),
        () => outbox.commit(async (tx, draft) => noWork(await tx.query('select'), draft)),
        () => outbox.commit(async (tx, draft) => noWork(await tx.query('select'), draft.call('a', '/b', 1))),
      ]
      for (const send of sent) {
        const { code, message } = await failure(send())
        expect(code).toBe('POSTCOMMIT_SCHEMA_MISSING')
        expect(message).toContain('Run: postcommit migrate')
      }
    } finally {
      await other.drop()
    }
  })

  test('and so do inbox and barrier', async () => {
    const other = await database()
    try {
      await other.pool.query('drop schema postcommit cascade')
      const inbox = createInbox({ db: other.pool, consumer: 'c' })
      expect((await failure(inbox.once({ gid: 'g', branch: 1, content: '1' }, () => undefined))).code).toBe(
        'POSTCOMMIT_SCHEMA_MISSING',
      )
      const barrier = createBarrier({ gid: 'g', branch: '01', op: 'action' })
      expect((await failure(barrier.call(other.pool, () => undefined))).code).toBe('POSTCOMMIT_SCHEMA_MISSING')
    } finally {
      await other.drop()
    }
  })
})
