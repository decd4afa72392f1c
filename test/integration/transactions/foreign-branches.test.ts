import { randomUUID } from 'node:crypto'
import type { Relay, RelayOptions } from '@postcommit/relay'
import { redisOutbox } from 'postcommit/redis-outbox'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { selectDeadLetters } from '../../../relay/store/delivery/select-dead-letters.ts'
import { gidOf } from '../../support/coordinators.ts'
import { database, type TestDatabase } from '../../support/database.ts'
import { eventually } from '../../support/eventually.ts'
import { httpService } from '../../support/http-service.ts'
import { nats, type TestNats } from '../../support/nats.ts'
import { redis } from '../../support/redis.ts'
import { testRelays } from '../../support/test-relays.ts'
import { insertTransaction } from '../../support/transactions.ts'

// Rows of transactions and entries of Redis are no more the relay's own than those of the log.
let db: TestDatabase
let broker: TestNats
let heard: Set<string>
const relays = testRelays()

beforeEach(async () => {
  db = await database()
  broker = await nats()
  heard = new Set()
  broker.connection.subscribe('>', { callback: (_, { subject }) => void heard.add(subject) })
  await broker.connection.flush()
})
afterEach(async () => {
  await relays.stop()
  await broker.close()
  await db.drop()
})

async function start(options: Partial<RelayOptions>): Promise<Relay> {
  return await relays.start({
    db: db.url,
    nats: { connection: { servers: broker.url } },
    ...options,
  })
}

const CALLS: readonly [name: string, operation: object, options: string | undefined, reason: RegExp][] = [
  ['the API of the server', { target: 'nats:$JS.API.STREAM.DELETE.BRANCHES' }, undefined, /target.*\$/],
  ['everything', { target: 'nats:>' }, undefined, /target/],
  ['an inbox', { target: 'nats:_INBOX.branches.1' }, undefined, /target.*inbox/],
  ["this project's own subject", { target: 'nats:postcommit.branches' }, undefined, /target.*invalidate/],
  ['a path that leaves its base', { target: 'stock/a/../../admin' }, undefined, /target.*segment/],
  ['a second request', { target: 'stock/a HTTP/1.1\r\nhost: x' }, undefined, /target/],
  ['a header that re-routes', { options: '{"headers":{"host":"internal"}}' }, undefined, /reserved/],
  ['a header for all that re-routes', {}, '{"headers":{"Transfer-Encoding":"chunked"}}', /reserved/],
  ['a header within a header', { options: '{"headers":{"a":"b\\r\\nc: d"}}' }, undefined, /control/],
  ['options that are none', { options: 'x' }, undefined, /options.*JSON/],
  ['options of other types', {}, '{"retry":{"baseMs":"soon"}}', /options.*retry/],
  ['what is no JSON', { payload: 'hello' }, undefined, /JSON/],
  ['a name that is none', { branch: 'a\r\nb' }, undefined, /branch/],
]

test('a branch that nobody could have handed in is not called, says why, and stops nobody', async () => {
  await using stock = await httpService(() => 200)
  const ids = new Map<string, readonly [string, RegExp]>()
  for (const [n, [name, operation, options, reason]] of CALLS.entries()) {
    const common = { branch: '01', op: 'action', target: 'stock/bad', payload: '1' }
    const given = { status: 'submitted', dueInMs: 0, checkDestination: '', options } as const
    const { gid } = await insertTransaction(db.pool, { ...given, operations: [{ ...common, ...operation }] })
    ids.set(gid, [name, reason])
    const operations = [{ ...common, target: 'stock/ok', payload: String(n) }]
    await insertTransaction(db.pool, { ...given, options: undefined, operations })
  }
  const gid = 'a b\r\nc'
  const operations = [{ branch: '01', op: 'action', target: 'stock/bad', payload: '1' }]
  await insertTransaction(db.pool, { gid, status: 'submitted', dueInMs: 0, checkDestination: '', operations })
  ids.set(gid, ['a gid that is none', /gid/])
  await start({
    destinations: { stock: { url: `${stock.url}/base` } },
    coordinator: { database: 'main' },
  })
  await eventually(
    async () => {
      expect(stock.calls.filter(({ path }) => path === '/base/ok')).toHaveLength(CALLS.length)
      const { rows } = await db.pool.query<{ gid: string; error: string; status: string }>(
        `select gid, b.last_error as error, b.status from postcommit.branch b
join postcommit.global_transaction t on t.id = b.transaction_id where gid = any($1)`,
        [[...ids.keys()]],
      )
      expect(rows).toHaveLength(ids.size)
      for (const { gid, error, status } of rows) {
        const [name, reason = /never/] = ids.get(gid) ?? []
        expect(error, name).toMatch(reason)
        expect(status, name).toBe('prepared')
      }
    },
    { timeoutMs: 30_000 },
  )
  expect(new Set(stock.calls.map(({ path }) => path))).toEqual(new Set(['/base/ok']))
  expect([...heard].filter((subject) => /BRANCHES|branches|^>/.test(subject))).toEqual([])
})

test('nobody is asked on a subject that the configuration does not name', async () => {
  for (const target of ['nats:$JS.API.STREAM.DELETE.ASKED', 'nats:foreign.asked', 'nats:>']) {
    await insertTransaction(db.pool, { dueInMs: 0, checkDestination: 'nats', checkTarget: target })
  }
  await start({ coordinator: { database: 'main' } })
  await eventually(
    async () => {
      const { rows } = await db.pool.query<{ error: string }>(
        'select last_error as error from postcommit.global_transaction order by id',
      )
      expect(rows.map(({ error }) => error)).toEqual([
        expect.stringMatching(/target.*\$/),
        expect.stringMatching(/no such subject/),
        expect.stringMatching(/target/),
      ])
    },
    { timeoutMs: 20_000 },
  )
  expect([...heard].filter((subject) => /ASKED|foreign\.asked|^>/.test(subject))).toEqual([])
})

test('an entry of Redis whose message no service could have written is set aside', { timeout: 60_000 }, async () => {
  const clients = await redis()
  const stream = await broker.freshStream('entries')
  const name = `sale-${randomUUID().slice(0, 13)}`
  try {
    const sale = redisOutbox(clients.nodeRedis, { name })
    await sale.open(db.pool, { key: 'item', units: 100 })
    const entries = `{${name}}:postcommit:entries`
    await sale.deduct({ key: 'item', messages: (draft) => draft.publish(`${stream.prefix}.ok`, 0) })
    const [[, fields = []] = ['', []]] = await clients.ioredis.xrange(entries, '-', '+')
    const epoch = fields[fields.indexOf('epoch') + 1] ?? ''
    const message = { branch: 1, target: `${stream.prefix}.bad`, text: '1' }
    const bad: readonly object[] = [
      { target: '$JS.API.STREAM.DELETE.ENTRIES' },
      { target: '>' },
      { target: 'postcommit.entries' },
      { key: 'k'.repeat(300) },
      { key: 5 },
      { headers: '{"nats-rollup":"all"}' },
      { headers: '{"a":"b\\r\\nc: d"}' },
      { text: 'hello' },
      { branch: -5 },
      { destination: 'stock', target: '//internal' },
      { at: 'infinity' },
      { delayMs: -1 },
    ]
    for (const part of bad) {
      const entry = JSON.stringify({ op: 'script', gid: gidOf('bad'), messages: [{ ...message, ...part }] })
      await clients.ioredis.xadd(entries, '*', 'entry', entry, 'epoch', epoch)
    }
    await sale.deduct({ key: 'item', messages: (draft) => draft.publish(`${stream.prefix}.ok`, 1) })
    await start({ redisOutboxes: [{ redis: clients.ioredis, name }] })
    await eventually(
      async () => {
        expect(await selectDeadLetters(db.pool, { limit: 100 })).toHaveLength(bad.length)
        expect((await stream.manager.streams.info(stream.name)).state.messages).toBe(2)
      },
      { timeoutMs: 30_000 },
    )
    for (const { lastError } of await selectDeadLetters(db.pool, { limit: 100 })) {
      expect(lastError).toMatch(/it cannot be read: messages\[0\]/)
    }
    expect([...heard].filter((subject) => /ENTRIES|^>|\.bad$|postcommit\.entries/.test(subject))).toEqual([])
  } finally {
    await clients.close()
  }
})
