import pg from 'pg'
import { createOutbox, type PostcommitError } from 'postcommit'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { database, type TestDatabase } from '../../support/database.ts'

// Over pg, BEGIN goes with the first statement and the last statement with COMMIT. None of it may be noticed by the work.
let db: TestDatabase
let pool: pg.Pool
let readies = 0

interface Wire {
  readonly connection: {
    on(event: string, listener: () => void): void
    parse(query: object): void
    bind(config: object): void
    describe(what: object): void
    execute(config: object): void
    flush(): void
    sync(): void
  }
}

beforeAll(async () => {
  db = await database()
  await db.pool.query(`create table orders (id text primary key);
    create table parents (id text primary key);
    create table children (parent text references parents deferrable initially deferred)`)
  pool = openPool()
})
afterAll(async () => {
  await pool.end()
  await db.drop()
})
beforeEach(async () => {
  await db.pool.query('truncate orders, parents, children, postcommit.outbox, postcommit.barrier cascade')
})

/** One connection, so that what one transaction leaves behind meets the next. */
function openPool(options: pg.PoolConfig = {}): pg.Pool {
  const opened = new pg.Pool({ connectionString: db.url, max: 1, ...options })
  opened.on('error', () => undefined)
  opened.on('connect', (client) => {
    client.on('error', () => undefined)
    const { connection } = client as unknown as Wire
    connection.on('readyForQuery', () => {
      readies += 1
    })
  })
  return opened
}

const open = (over = pool) => createOutbox({ db: over, wake: 'off' })
const insert = (tx: pg.ClientBase, id: string) => tx.query('insert into orders (id) values ($1)', [id])
const state = async () => {
  const orders = await db.pool.query<{ id: string }>('select id from orders order by id')
  const messages = await db.pool.query<{ topic: string }>('select topic from postcommit.outbox order by id')
  return { orders: orders.rows.map(({ id }) => id), messages: messages.rows.map(({ topic }) => topic) }
}
const NOTHING = { orders: [], messages: [] }
const rejection = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => expect.unreachable('it resolved'),
    (error: unknown) => error,
  )
const code = async (promise: Promise<unknown>) => ((await rejection(promise)) as PostcommitError).code

/** How many times the server was waited for. */
async function roundTrips(work: () => Promise<unknown>): Promise<number> {
  // Connects, if it has to.
  await pool.query('select')
  const before = readies
  await work()
  return readies - before
}

test('a transaction of n statements and a message is n + 1 round trips', async () => {
  const place = (statements: number) => () =>
    open().commit(async (tx, message) => {
      for (let n = 0; n < statements; n += 1) await insert(tx, `${statements}-${n}`)
      message.publish('a.b', { n: 1 }, { key: 'k' })
    })
  expect(await roundTrips(place(1))).toBe(2)
  expect(await roundTrips(place(3))).toBe(4)
  // Nothing to know the xid by: the message goes before COMMIT.
  expect(await roundTrips(place(0))).toBe(2)
  expect(await roundTrips(() => open().commit(async (tx) => insert(tx, 'x')))).toBe(2)
  expect(await roundTrips(() => open().commit(() => undefined))).toBe(2)
  expect((await state()).messages).toHaveLength(3)
})

test('the message and the work have one xid, and the lost COMMIT is asked by it', async () => {
  const { value } = await open().commit(async (tx, message) => {
    await tx.query('values ($1)', [1])
    message.publish('a.b', 1)
    return (await tx.query<{ xid: string }>('select pg_current_xact_id()::text as xid')).rows[0]?.xid
  })
  expect((await db.pool.query('select xid::text from postcommit.outbox')).rows).toEqual([{ xid: value }])
})

describe('the first statement', () => {
  const firsts: Record<string, (tx: pg.PoolClient) => Promise<unknown>> = {
    'with values': async (tx) => (await tx.query('select $1::int as n', [7])).rows,
    'as text': async (tx) => (await tx.query('select 7 as n')).rows,
    'as text of several': async (tx) => {
      const results = (await tx.query('select 1 as n; select 7 as n')) as unknown as pg.QueryResult[]
      expect(results).toHaveLength(2)
      return results[1]?.rows
    },
    'as an array of rows': async (tx) => {
      const { rows, command, fields } = await tx.query({ text: 'select $1::int', values: [7], rowMode: 'array' })
      expect([command, fields.length]).toEqual(['SELECT', 1])
      return rows.map(([n]) => ({ n }))
    },
    named: async (tx) => (await tx.query({ name: 'first', text: 'select $1::int as n', values: [7] })).rows,
    'with a callback': (tx) =>
      new Promise((resolve, reject) => {
        tx.query('select $1::int as n', [7], (error, result) => (error ? reject(error) : resolve(result.rows)))
      }),
    'in pages': async (tx) => {
      const config = { text: 'select 7 as n from generate_series(1, 1)', values: [], rows: 1 }
      return (await tx.query(config as pg.QueryConfig)).rows
    },
    'of a class of its own': (tx) => tx.query(new Cursor('select 7 as n') as never) as unknown as Promise<unknown>,
    'that takes no snapshot': async (tx) => {
      await tx.query('set transaction isolation level serializable')
      expect((await tx.query('show transaction_isolation')).rows).toEqual([{ transaction_isolation: 'serializable' }])
      return [{ n: 7 }]
    },
    'with a comment in front': async (tx) => (await tx.query('/* hint */ select $1::int as n', [7])).rows,
  }

  test.each(Object.entries(firsts))('%s is answered as ever, twice on one connection', async (_, first) => {
    for (const id of ['a', 'b']) {
      const { value } = await open().commit(async (tx, message) => {
        const rows = await first(tx)
        await insert(tx, id)
        message.publish('a.b', id)
        return rows
      })
      expect(value).toEqual([{ n: 7 }])
    }
    expect(await state()).toEqual({ orders: ['a', 'b'], messages: ['a.b', 'a.b'] })
  })

  test.each(Object.entries(firsts))('%s is part of the transaction', async (_, first) => {
    const boom = new Error('boom')
    const work = open().commit(async (tx) => {
      await first(tx)
      expect(tx.getTransactionStatus?.()).toBe('T')
      await insert(tx, 'a')
      throw boom
    })
    expect(await rejection(work)).toBe(boom)
    expect(await state()).toEqual(NOTHING)
  })

  test.each([
    ['with values', (tx: pg.PoolClient) => tx.query('select 1 / $1::int', [0])],
    ['as text', (tx: pg.PoolClient) => tx.query('select 1 / 0')],
    ['that is no SQL', (tx: pg.PoolClient) => tx.query('selec $1', [1])],
    ['that is no SQL, as text', (tx: pg.PoolClient) => tx.query('selec')],
    ['named', (tx: pg.PoolClient) => tx.query({ name: 'wrong', text: 'select 1 / $1::int', values: [0] })],
    [
      'with values that cannot be sent',
      async (tx: pg.PoolClient) => {
        const cyclic: Record<string, unknown> = {}
        cyclic['self'] = cyclic
        await tx.query('select $1', [cyclic]).catch(() => undefined)
        await tx.query('select 1 / 0')
      },
    ],
  ])('%s that fails takes the transaction down, though nobody looks', async (_, first) => {
    const work = open().commit(async (tx, message) => {
      await first(tx).catch(() => undefined)
      await insert(tx, 'outside').catch(() => undefined)
      message.publish('a.b', 1)
    })
    expect(await code(work)).toBe('POSTCOMMIT_TX_ABORTED')
    expect(await state()).toEqual(NOTHING)
    await open().commit(async (tx) => insert(tx, 'afterwards'))
    expect((await state()).orders).toEqual(['afterwards'])
  })

  test('that is not sent at all leaves BEGIN to the next one', async () => {
    await open().commit(async (tx) => {
      await expect(tx.query('select $1', 'no array' as never)).rejects.toThrow('must be an array')
      await insert(tx, 'a')
    })
    expect((await state()).orders).toEqual(['a'])
  })

  test('is sent together with others that nobody waited for', async () => {
    await open().commit(async (tx, message) => {
      await Promise.all([insert(tx, 'a'), insert(tx, 'b')])
      message.publish('a.b', 1)
    })
    expect(await state()).toEqual({ orders: ['a', 'b'], messages: ['a.b'] })
  })
})

test.each([
  ['with values', (tx: pg.PoolClient) => insert(tx, 'outside')],
  ['as text', (tx: pg.PoolClient) => tx.query(`insert into orders (id) values ('outside')`)],
])(
  'if BEGIN fails, the first statement %s fails with it and nothing is run outside of a transaction',
  async (_, first) => {
    const isolationLevel = 'unheard of' as 'serializable'
    let told: unknown
    const work = open().commit(
      async (tx) => {
        told = await rejection(first(tx))
        await insert(tx, 'outside')
      },
      { isolationLevel },
    )
    await rejection(work)
    expect(told).toMatchObject({ code: '42601' })
    expect(await state()).toEqual(NOTHING)
    await open().commit(async (tx) => insert(tx, 'afterwards'))
    expect((await state()).orders).toEqual(['afterwards'])
  },
)

test('work that throws before its first statement costs nothing, and leaves nothing to the next', async () => {
  const boom = new Error('boom')
  const failing = async () => {
    expect(await rejection(open().commit(() => Promise.reject(boom)))).toBe(boom)
  }
  expect(await roundTrips(failing)).toBe(0)
  const { rows } = await pool.query<{ now: Date; started: Date }>('select 1')
  expect(rows).toHaveLength(1)
  const client = await pool.connect()
  expect(client.getTransactionStatus?.()).toBe('I')
  client.release()
})

test('messages can be added to a transaction that has not run a statement yet', async () => {
  const inner = open()
  await open().commit(async (tx) => inner.add(tx, (message) => message.publish('a.b', 1)))
  expect((await state()).messages).toEqual(['a.b'])
})

describe('the last statement', () => {
  test('fails loudly if an earlier one failed unnoticed, awaited or not', async () => {
    const swallowing = open().commit(async (tx, message) => {
      await insert(tx, 'a')
      await insert(tx, 'a').catch(() => undefined)
      message.publish('a.b', 1)
    })
    const forgetting = open().commit(async (tx, message) => {
      await insert(tx, 'a')
      void insert(tx, 'a').catch(() => undefined)
      message.publish('a.b', 1)
    })
    expect(await code(swallowing)).toBe('POSTCOMMIT_TX_ABORTED')
    expect(await code(forgetting)).toBe('POSTCOMMIT_TX_ABORTED')
    expect(await state()).toEqual(NOTHING)
  })

  test('and COMMIT are rejected with what the database said', async () => {
    const orphan = open().commit(async (tx, message) => {
      await tx.query('insert into children values ($1)', ['nobody'])
      message.publish('a.b', 1)
    })
    expect(await rejection(orphan)).toMatchObject({ code: '23503' })
    const holder = await db.pool.connect()
    try {
      await holder.query('begin')
      await open().add(holder, (message) => message.publish('a.b', 'held', { key: 'hot' }))
      for (const [setting, told] of [
        ['lock_timeout', { code: '55P03' }],
        // Which says nothing about COMMIT, so that is looked up.
        ['statement_timeout', { code: 'POSTCOMMIT_COMMIT_ROLLED_BACK', cause: { code: '57014' } }],
      ] as const) {
        const waiting = open().commit(async (tx, message) => {
          await tx.query(`select set_config($1, '50ms', true)`, [setting])
          await insert(tx, 'a')
          message.publish('a.b', 1, { key: 'hot' })
        })
        expect(await rejection(waiting)).toMatchObject(told)
      }
    } finally {
      await holder.query('rollback')
      holder.release()
    }
    expect(await state()).toEqual(NOTHING)
    await open().commit(async (tx) => insert(tx, 'afterwards'))
  })

  test('carries keys, headers and bytes as they are', async () => {
    const headers = { 'x-a': `it's \\ "quoted"` }
    await open().commit(async (tx, message) => {
      await insert(tx, 'a')
      message.publish('a.b', new Uint8Array([0, 255, 10]), { key: `k'\\é`, headers })
    })
    const { rows } = await db.pool.query('select key, headers, payload, body from postcommit.outbox')
    expect(rows).toEqual([
      { key: `k'\\é`, headers: JSON.stringify(headers), payload: null, body: Buffer.from([0, 255, 10]) },
    ])
  })
})

test.each([
  ['that sends ahead by itself', { pipeline: true }, undefined],
  ['that does not tell the state of its transaction', {}, 'getTransactionStatus'],
  ['whose connection cannot be reached', {}, 'connection'],
] as const)('a client %s gets each statement by itself', async (_, options, without) => {
  const other = openPool(options)
  if (without !== undefined) {
    // What such a client looks like to the outbox; everything else about it is real.
    const connect = other.connect.bind(other) as (callback: (...args: never[]) => void) => void
    other.connect = ((callback: (error: Error | undefined, client: object | undefined, done: unknown) => void) =>
      connect((error: Error | undefined, client: object | undefined, done: unknown) => {
        const seen = new Proxy(client ?? {}, {
          get: (target, name) => {
            if (name === without) return undefined
            const value: unknown = Reflect.get(target, name, target)
            return typeof value === 'function' ? value.bind(target) : value
          },
        })
        callback(error, client === undefined ? undefined : seen, done)
      })) as never
  }
  try {
    await open(other).commit(async (tx, message) => {
      await insert(tx, 'a')
      message.publish('a.b', 1)
    })
    const swallowing = open(other).commit(async (tx, message) => {
      await insert(tx, 'a').catch(() => undefined)
      message.publish('a.b', 1)
    })
    expect(await code(swallowing)).toBe('POSTCOMMIT_TX_ABORTED')
    expect(await state()).toEqual({ orders: ['a'], messages: ['a.b'] })
  } finally {
    await other.end()
  }
})

/** A Submittable as pg-cursor is one: its own messages, and no Sync until it has read what it wants. */
class Cursor {
  callback: ((error: unknown, rows?: unknown) => void) | undefined
  readonly #text: string
  readonly #rows: { n: number }[] = []
  readonly #settled: Promise<unknown>

  constructor(text: string) {
    this.#text = text
    this.#settled = new Promise((resolve, reject) => {
      this.callback = (error, rows) => (error ? reject(error) : resolve(rows))
    })
  }

  // biome-ignore lint/suspicious/noThenProperty: pg gives back the Submittable itself, and the tests await it
  then: Promise<unknown>['then'] = (...args) => this.#settled.then(...args)
  submit(connection: Wire['connection']): void {
    connection.parse({ text: this.#text })
    connection.bind({})
    connection.describe({ type: 'P', name: '' })
    connection.execute({ rows: 1 })
    connection.flush()
  }
  handleRowDescription(): void {}
  handleDataRow({ fields }: { fields: string[] }): void {
    this.#rows.push({ n: Number(fields[0]) })
  }
  handlePortalSuspended(connection: Wire['connection']): void {
    connection.sync()
  }
  handleCommandComplete(_: unknown, connection: Wire['connection']): void {
    connection.sync()
  }
  handleReadyForQuery(): void {
    this.callback?.(undefined, this.#rows)
  }
  handleError(error: unknown, connection: Wire['connection']): void {
    this.callback?.(error)
    connection.sync()
  }
}
