import { randomUUID } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createRelay } from '@postcommit/relay'
import pg from 'pg'
import { pino } from 'pino'
import { storedMessageProblem } from 'postcommit/protocol'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { database, type TestDatabase } from '../../support/database.ts'
import { eventually } from '../../support/eventually.ts'
import { nats } from '../../support/nats.ts'
import { repositoryFolder } from '../../support/repository-folder.ts'

let db: TestDatabase

beforeAll(async () => {
  db = await database()
})
afterAll(() => db.drop())

const sqlOf = async (page: string) =>
  [...(await readFile(join(repositoryFolder, page), 'utf8')).matchAll(/```sql\n([\s\S]*?)```/g)].map(
    ([, sql = '']) => sql,
  )

test('the trigger of docs/moving.md hands on the rows of a table that a service had, under its own role', async () => {
  const [table = '', trigger = ''] = await sqlOf('docs/moving.md')
  expect(trigger.trim().split('\n')).toHaveLength(8)
  const role = `shop_${randomUUID().slice(0, 8)}`
  const [, grants = ''] = await sqlOf('docs/operations.md')
  await using broker = await nats()
  const stream = await broker.freshStream('Order')
  await db.pool.query(`${table} ${trigger} create role ${role} login password 'p';
${grants.replaceAll('shop_app', role)} grant insert, select, delete on outbox_events to ${role}`)
  const url = new URL(db.url)
  url.username = role
  url.password = 'p'
  const service = new pg.Client({ connectionString: url.href })
  await service.connect()
  const relay = createRelay({
    db: db.url,
    nats: { connection: { servers: broker.url } },
    log: pino({ level: 'silent' }),
  })
  await relay.start()
  try {
    const id = randomUUID()
    const values = [id, stream.prefix, 'order 42', 'Order placed!', '{"total": 1}']
    await service.query(`begin`)
    await service.query('insert into outbox_events values ($1, $2, $3, $4, $5)', values)
    await service.query('delete from outbox_events')
    await service.query('commit')
    await service.query('begin')
    await service.query('insert into outbox_events values ($1, $2, $3, $4, $5)', [randomUUID(), ...values.slice(1)])
    await service.query('rollback')
    await eventually(async () => {
      const message = await stream.manager.streams.getMessage(stream.name, { seq: 1 })
      expect(message?.subject).toBe(`${stream.prefix}.Order-placed`)
      expect(message?.json()).toEqual({ total: 1 })
      expect(message?.header.get('Nats-Msg-Id')).toBe(`${id}:1`)
      expect(message?.header.get('postcommit-key')).toBe('order%2042')
    })
    expect((await stream.manager.streams.info(stream.name)).state.messages).toBe(1)
  } finally {
    await relay.stop()
    await service.end()
    await db.pool.query(`drop owned by ${role}; drop role ${role}`)
  }
})

type Arguments = [
  string | null,
  number | null,
  string | null,
  string | null,
  string | null,
  Buffer | null,
  string | null,
]
const legal: Arguments = ['g', 1, 'a.b', 'k', '1', null, '{"a":"b"}']
const publish = (given: Arguments) => db.pool.query('select postcommit.publish($1, $2, $3, $4, $5, $6, $7)', given)
const stored = async () => Number((await db.pool.query('select count(*) as n from postcommit.outbox')).rows[0].n)

test.each<[string, { readonly [at: number]: string | number | Buffer | null }, string, string | undefined]>([
  ['the API of the server', { 2: '$JS.API.STREAM.DELETE.ORDERS' }, '22023', 'topic'],
  ['an inbox', { 2: '_INBOX.a' }, '22023', 'topic'],
  ["this project's own subject", { 2: 'postcommit.x' }, '22023', 'topic'],
  ['everything', { 2: '>' }, '22023', 'topic'],
  ['17 tokens', { 2: Array.from({ length: 17 }, () => 'a').join('.') }, '22023', 'topic'],
  ['a topic with a line break', { 2: 'a\n' }, '22023', 'topic'],
  ['no topic', { 2: null }, '22023', 'topic'],
  ['an empty gid', { 0: '' }, '22023', 'gid'],
  ['no gid', { 0: null }, '22023', 'gid'],
  ['a gid with spaces', { 0: 'a b' }, '22023', 'gid'],
  ['a long gid', { 0: 'a'.repeat(65) }, '22023', 'gid'],
  ['a negative branch', { 1: -5 }, '22023', 'branch'],
  ['no branch', { 1: null }, '22023', 'branch'],
  ['a long key', { 3: 'k'.repeat(5000) }, '22023', 'key'],
  ['an empty key', { 3: '' }, '22023', 'key'],
  ['a key with a line break', { 3: 'a\r\nb' }, '22023', 'key'],
  ['what is no JSON', { 4: 'hello' }, '22P02', undefined],
  ['two contents', { 5: Buffer.from('x') }, '22023', 'payload'],
  ['no content', { 4: null }, '22023', 'payload'],
  ['too much', { 4: JSON.stringify('x'.repeat(950_000)) }, '22023', 'payload'],
  ['a reserved header', { 6: '{"nats-rollup":"all"}' }, '22023', 'headers'],
  ['a header in capitals', { 6: '{"Nats-Rollup":"all"}' }, '22023', 'headers'],
  ['a header within a header', { 6: '{"a":"b\\r\\nc: d"}' }, '22023', 'headers'],
  ['a header that is a number', { 6: '{"a":1}' }, '22023', 'headers'],
  ['headers that are a list', { 6: '[]' }, '22023', 'headers'],
  ['headers that are no JSON', { 6: 'x' }, '22P02', undefined],
])('postcommit.publish refuses %s, with a hint and before anything is written', async (_, part, code, column) => {
  const before = await stored()
  const given = legal.map((value, at) => (at in part ? (part[at] ?? null) : value)) as Arguments
  const refusal = column === undefined ? { code } : { code, column, hint: expect.stringMatching(/\.$/) }
  await expect(publish(given)).rejects.toMatchObject(refusal)
  expect(await stored()).toBe(before)
})

test('postcommit.publish takes what the SDK writes', async () => {
  await publish(legal)
  await publish(['g', 2, 'postcommit.cache.product', null, null, Buffer.from([0]), null])
  await publish(['g', 0, `${'a.'.repeat(15)}a`, 'ä'.repeat(255), '""', null, '{}'])
  await db.pool.query(`select postcommit.publish('g', 3, 'a.b', payload => '1')`)
})

test.each([
  [['Order', 'OrderPlaced'], 'Order.OrderPlaced'],
  [['com.acme.Order', 'order placed!'], 'com.acme.Order.order-placed'],
  [['$JS.API', '>'], 'JS.API.-'],
  [['..a..b..', ''], 'a.b.-'],
])('postcommit.subject(%j) is legal: %s', async (parts, subject) => {
  const { rows } = await db.pool.query('select postcommit.subject(variadic $1::text[]) as subject', [parts])
  expect(rows).toEqual([{ subject }])
  const message = { gid: 'g', branch: 1, key: null, payload: '1', body: null, headers: null }
  expect(storedMessageProblem(message, 'nats', subject)).toBeUndefined()
})

test('the tables refuse at once what they can', async () => {
  const log = db.pool.query(
    `insert into postcommit.outbox (gid, branch, topic, slot, payload) values ('g', 1, '$JS.x', 0, '1')`,
  )
  await expect(log).rejects.toMatchObject({ code: '23514', constraint: 'outbox_message' })
  for (const [destination, target, branch] of [
    ['nats', '$JS.API.STREAM.DELETE.X', 1],
    ['stock', '/x', -5],
    ['redis-outbox', 'sale', 1],
    ['Stock', '/x', 1],
    ['https://stock', '/x', 1],
    ['s'.repeat(64), '/x', 1],
    ['', '/x', 1],
  ]) {
    const insert = `insert into postcommit.delivery (gid, branch, destination, target, slot, payload) values ('g', $3, $1, $2, 0, '1')`
    await expect(db.pool.query(insert, [destination, target, branch])).rejects.toMatchObject({
      code: '22023',
      constraint: 'delivery_message',
      hint: expect.stringMatching(/moving/),
    })
  }
})
