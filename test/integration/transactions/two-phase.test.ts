import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { Kysely, PostgresDialect } from 'kysely'
import pg from 'pg'
import { backQueryHandler, createOutbox, createRelayClient, PostcommitError, type RelayClient } from 'postcommit'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { database, type TestDatabase } from '../../support/database.ts'
import { eventually } from '../../support/eventually.ts'
import { createFaultProxy } from '../../support/fault-proxy.ts'
import { type RelayDouble, relayDouble } from '../../support/relay-double.ts'

interface Tables {
  orders: { id: string; note: string | null }
}

const secret = `whsec_${Buffer.alloc(32, 7).toString('base64')}`

let db: TestDatabase
let backQueryUrl: string
let closeServer: () => void
let double: RelayDouble
let relay: RelayClient
let refused: unknown[]

beforeAll(async () => {
  db = await database()
  await db.pool.query(`create table orders (id text primary key, note text);
    create table parents (id text primary key);
    create table children (parent text references parents deferrable initially deferred)`)
  const server = createServer(backQueryHandler({ db: db.pool, secrets: [secret] }).node)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  backQueryUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}/back-query`
  closeServer = () => {
    server.close()
    server.closeAllConnections()
  }
})
afterAll(async () => {
  closeServer()
  await db.drop()
})
beforeEach(async () => {
  await db.pool.query(
    'truncate orders, parents, children, postcommit.outbox, postcommit.delivery, postcommit.barrier cascade',
  )
  double = await relayDouble()
  relay = createRelayClient({ url: double.url, requestTimeoutMs: 500, timeoutMs: 2000 })
  refused = []
})
afterEach(async () => {
  double.misbehave(() => undefined)
  await relay.close()
  await double[Symbol.asyncDispose]()
})

const options = () => ({
  relay,
  backQuery: { url: backQueryUrl },
  prepareMs: 1000,
  onRefused: (error: unknown) => refused.push(error),
})
const openOutbox = (pool: pg.Pool = db.pool, more: object = {}) => createOutbox({ db: pool, ...options(), ...more })
const status = (gid: string) => double.transactions.get(gid)?.status
const orders = async () => (await db.pool.query<{ id: string }>('select id from orders order by id')).rows
const barrier = async () => (await db.pool.query('select gid, op, reason from postcommit.barrier order by gid')).rows
const code = async (promise: Promise<unknown>) =>
  promise.then(
    () => 'resolved',
    (error: unknown) => (error instanceof PostcommitError ? error.code : error),
  )
const insert = (tx: pg.PoolClient, id: string) => tx.query('insert into orders (id) values ($1)', [id])
const placed = (id: string) => ({ orderId: id })

const clients = [
  {
    client: 'pg',
    open() {
      const outbox = openOutbox()
      type Message = Parameters<Parameters<typeof outbox.commit>[0]>[1]
      type Work = (query: (sql: string) => Promise<unknown>, message: Message) => Promise<unknown>
      return (work: Work) => outbox.commit((tx, message) => work((sql) => tx.query(sql), message))
    },
  },
  {
    client: 'kysely',
    open() {
      const kysely = new Kysely<Tables>({ dialect: new PostgresDialect({ pool: db.pool }) })
      const outbox = createOutbox({ db: kysely, ...options() })
      type Message = Parameters<Parameters<typeof outbox.commit>[0]>[1]
      type Work = (query: (sql: string) => Promise<unknown>, message: Message) => Promise<unknown>
      return (work: Work) =>
        outbox.commit((tx, message) =>
          work(
            (sql) =>
              tx.executeQuery({
                sql,
                parameters: [],
                query: { kind: 'RawNode', sqlFragments: [sql], parameters: [] },
                queryId: { queryId: 'test' },
              } as never),
            message,
          ),
        )
    },
  },
]

describe.each(clients)('commit over $client', ({ open }) => {
  test('announces before COMMIT, releases after it, and the row that says so is of the same transaction', async () => {
    const seenAtPrepare: unknown[] = []
    double.misbehave(async ({ operations }) => {
      if (operations.some((operation) => operation.do === 'prepare'))
        seenAtPrepare.push(await orders(), await barrier())
      return undefined
    })
    const { gid, value } = await open()(async (query, message) => {
      await query(`insert into orders (id) values ('1')`)
      message.publish('order.placed', placed('1'), { key: 'é', headers: { 'X-Tenant': 'a' } })
      message.call('stock', '/deduct', new Uint8Array([0, 255]))
      message.publish('order.reminder', placed('1'), { key: 'é', deliverAfter: 60_000 })
      return 'value'
    })
    expect(value).toBe('value')
    expect(seenAtPrepare).toEqual([[], []])
    expect(await orders()).toEqual([{ id: '1' }])
    expect(await barrier()).toEqual([{ gid, op: 'commit', reason: 'commit' }])
    await eventually(() => expect(status(gid)).toBe('submitted'))
    expect(double.transactions.get(gid)?.definition).toEqual({
      mode: 'msg',
      branches: [
        {
          branch: '1',
          ops: { action: { subject: 'order.placed' } },
          payload: '{"orderId":"1"}',
          headers: { 'x-tenant': 'a' },
          key: 'é',
        },
        { branch: '2', ops: { action: { destination: 'stock', path: '/deduct' } }, payloadBase64: 'AP8=' },
        {
          branch: '3',
          ops: { action: { subject: 'order.reminder' } },
          payload: '{"orderId":"1"}',
          key: 'é',
          delayMs: 60_000,
        },
      ],
      backQuery: { target: { url: backQueryUrl }, checkAfterMs: 10_000, hint: expect.stringMatching(/^\d+$/) },
      options: { concurrent: true },
    })
  })

  test('work that throws leaves nothing, and the relay hears nothing of it', async () => {
    const failure = new Error('sold out')
    const attempt = open()(async (query, message) => {
      await query(`insert into orders (id) values ('1')`)
      message.publish('order.placed', placed('1'))
      throw failure
    })
    await expect(attempt).rejects.toBe(failure)
    expect([await orders(), await barrier(), double.requests]).toEqual([[], [], []])
  })

  test('a transaction that failed unnoticed is not committed, and its announcement is taken back', async () => {
    const attempt = open()(async (query, message) => {
      await query(`insert into orders (id) values ('1')`)
      await query('select 1 / 0').catch(() => undefined)
      message.publish('order.placed', placed('1'))
    })
    expect(await code(attempt)).toBe('POSTCOMMIT_TX_ABORTED')
    await eventually(() => expect([...double.transactions.values()].map((one) => one.status)).toEqual(['failed']))
    expect(await orders()).toEqual([])
  })

  test('a COMMIT that the database refuses takes the announcement back', async () => {
    const attempt = open()(async (query, message) => {
      await query(`insert into children values ('nobody')`)
      message.publish('order.placed', placed('1'))
    })
    await expect(attempt).rejects.toMatchObject({ code: '23503' })
    await eventually(() => expect([...double.transactions.values()].map((one) => one.status)).toEqual(['failed']))
  })

  test('without messages there is nothing to announce', async () => {
    await open()((query) => query(`insert into orders (id) values ('1')`))
    expect([await orders(), double.requests]).toEqual([[{ id: '1' }], []])
  })
})

const place = (outbox: ReturnType<typeof openOutbox>, id: string, how: object = {}) =>
  outbox.commit(async (tx, message) => {
    await insert(tx, id)
    message.publish('order.placed', placed(id))
  }, how)

describe('a network that loses', () => {
  test('the answer to an announcement: it is sent again with the same gid', async () => {
    double.misbehave((_request, n) => (n === 1 ? 'lose-answer' : undefined))
    const { gid } = await place(openOutbox(), '1')
    await eventually(() => expect(status(gid)).toBe('submitted'))
    expect(double.transactions.size).toBe(1)
  })

  test('every announcement: the commit is given up, nothing is written, and a later question says so', async () => {
    double.misbehave(() => 'lose-answer')
    expect(await code(place(openOutbox(), '1'))).toBe('POSTCOMMIT_RELAY_UNREACHABLE')
    expect([await orders(), await barrier()]).toEqual([[], []])
    const [gid = ''] = double.transactions.keys()
    await eventually(() => expect(double.requests.at(-1)?.operations[0]?.do).toBe('abort'))
    // The abort was done, its answer lost; whatever the relay made of it, asked it would hear the same.
    expect(status(gid)).toBe('failed')
  })

  test.each(['lose-request', 'lose-answer', 'hang'] as const)(
    'the release (%s): commit has resolved, and the question of the relay releases it',
    async (how) => {
      double.misbehave(({ operations }) => (operations.some((one) => one.do === 'submit') ? how : undefined))
      const { gid } = await place(openOutbox(), '1')
      expect(await orders()).toEqual([{ id: '1' }])
      await relay.close()
      if (how === 'lose-answer') expect(status(gid)).toBe('submitted')
      else {
        expect(status(gid)).toBe('prepared')
        expect(await double.settle(gid, secret)).toBe('committed')
        expect(status(gid)).toBe('submitted')
      }
      expect(refused).toEqual([])
    },
  )

  test('the answer to COMMIT: the database is asked, and the messages are released', async () => {
    const { hostname, port } = new URL(db.url)
    const proxy = await createFaultProxy({ target: { host: hostname, port: Number(port) } })
    const pool = new pg.Pool({ connectionString: proxy.through(db.url) })
    pool.on('error', () => {})
    try {
      const outbox = openOutbox(pool)
      const cut = proxy.cutWhen('down', (bytes) => bytes.includes('COMMIT\0'))
      const { gid } = await place(outbox, '1')
      await cut
      expect(await orders()).toEqual([{ id: '1' }])
      await eventually(() => expect(status(gid)).toBe('submitted'))
    } finally {
      await pool.end()
      await proxy.close()
    }
  })

  test('COMMIT itself: the database is asked, nothing was written, and the announcement is taken back', async () => {
    const { hostname, port } = new URL(db.url)
    const proxy = await createFaultProxy({ target: { host: hostname, port: Number(port) } })
    const pool = new pg.Pool({ connectionString: proxy.through(db.url) })
    pool.on('error', () => {})
    try {
      const cut = proxy.cutWhen('up', (bytes) => bytes.includes('commit\0'))
      expect(await code(place(openOutbox(pool), '1'))).toBe('POSTCOMMIT_COMMIT_ROLLED_BACK')
      await cut
      expect(await orders()).toEqual([])
      await eventually(() => expect([...double.transactions.values()].map((one) => one.status)).toEqual(['failed']))
    } finally {
      await pool.end()
      await proxy.close()
    }
  })
})

describe('a gid of the caller', () => {
  test('is committed once, and other messages under it are a conflict', async () => {
    const outbox = openOutbox()
    const again = (id: string) =>
      outbox.commit(
        async (tx, message) => {
          await tx.query('insert into orders (id) values ($1) on conflict do nothing', [id])
          message.publish('order.placed', placed(id))
        },
        { gid: 'mine' },
      )
    expect(await again('1')).toMatchObject({ duplicated: false })
    expect(await again('1')).toMatchObject({ duplicated: true })
    expect(await code(again('2'))).toBe('POSTCOMMIT_GID_CONFLICT')
    expect(await orders()).toEqual([{ id: '1' }])
  })

  test('can be used again after a failure, until it was asked about', async () => {
    const outbox = openOutbox()
    const failing = outbox.commit(
      async (tx, message) => {
        await tx.query(`insert into children values ('nobody')`)
        message.publish('order.placed', placed('1'))
      },
      { gid: 'mine' },
    )
    await expect(failing).rejects.toMatchObject({ code: '23503' })
    expect(status('mine')).toBe('prepared')
    expect(await place(outbox, '1', { gid: 'mine' })).toMatchObject({ duplicated: false })
    await eventually(() => expect(status('mine')).toBe('submitted'))
    expect(await code(outbox.commit(() => undefined, { gid: 'mine' }))).toBe('POSTCOMMIT_GID_CONFLICT')
  })

  test('that was given up is refused before any work is done', async () => {
    await relay.prepare('mine', {
      mode: 'msg',
      branches: [{ branch: '1', ops: { action: { subject: 'a' } } }],
      backQuery: { target: { url: backQueryUrl } },
    })
    expect(await double.settle('mine', secret)).toBe('aborted')
    let ran = false
    const late = openOutbox().commit(
      () => {
        ran = true
      },
      { gid: 'mine' },
    )
    expect(await code(late)).toBe('POSTCOMMIT_GID_ABORTED')
    expect(ran).toBe(false)
  })
})

test('messages added to somebody’s transaction are released by the question', async () => {
  const outbox = openOutbox()
  const client = await db.pool.connect()
  try {
    await client.query('begin')
    await insert(client, '1')
    const { gid } = await outbox.add(client, (message) => message.publish('order.placed', placed('1')))
    expect(status(gid)).toBe('prepared')
    expect(await double.settle(gid, secret)).toBe('in_progress')
    await client.query('commit')
    expect(await double.settle(gid, secret)).toBe('committed')
  } finally {
    client.release()
  }
})

test('a release that the relay refuses is reported, and the commit stands', async () => {
  double.misbehave(() => ({
    refuse: (operation) =>
      operation.do === 'submit'
        ? {
            outcome: 'refused',
            gid: operation.gid,
            code: 'POSTCOMMIT_TRANSACTION_DECIDED',
            message: '',
            retryable: false,
          }
        : undefined,
  }))
  await place(openOutbox(), '1')
  await eventually(() => expect(refused).toMatchObject([{ code: 'POSTCOMMIT_TRANSACTION_DECIDED' }]))
})

test('commits and questions at the same time come to one decision each', async () => {
  const outbox = openOutbox()
  const verdicts = new Map<string, string[]>()
  // Each question comes at another moment of the transaction that it is about.
  const one = async (n: number): Promise<void> => {
    const gid = `race-${n}`
    const asking = (async () => {
      await eventually(() => expect(status(gid)).toBeDefined())
      await sleep(n % 7)
      for (let asked = 0; asked < 20 && status(gid) === 'prepared'; asked += 1) {
        const verdict = await double.settle(gid, secret).catch(() => undefined)
        verdicts.set(gid, [...(verdicts.get(gid) ?? []), verdict ?? 'none'])
        if (verdict === 'committed' || verdict === 'aborted') return
        await sleep(5)
      }
    })()
    const committing = outbox.commit(
      async (tx, message) => {
        await insert(tx, gid)
        await tx.query('select pg_sleep($1)', [(n % 5) / 200])
        message.publish('order.placed', placed(gid))
        if (n % 3 === 0) await tx.query(`insert into children values ('nobody')`)
      },
      { gid },
    )
    await Promise.allSettled([asking, committing])
  }
  // No release gets through, so that the questions alone decide.
  double.misbehave(() => ({
    refuse: ({ do: what, gid }) =>
      what === 'submit' ? { outcome: 'refused', gid, code: 'LOST', message: '', retryable: false } : undefined,
  }))
  for (let batch = 0; batch < 10; batch += 1) await Promise.all(Array.from({ length: 6 }, (_, n) => one(batch * 6 + n)))
  const committed = new Set((await orders()).map(({ id }) => id))
  for (const [gid, { status: end }] of double.transactions) {
    const decided =
      end === 'prepared' ? await double.settle(gid, secret) : end === 'submitted' ? 'committed' : 'aborted'
    expect([gid, decided]).toEqual([gid, committed.has(gid) ? 'committed' : 'aborted'])
  }
  expect(committed.size).toBeGreaterThan(10)
  expect([...verdicts.values()].flat()).toContain('aborted')
})
