import { randomUUID } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createRelay } from '@postcommit/relay'
import { freePort } from '@postcommit/relay/dev'
import { Cluster, Redis } from 'ioredis'
import { pino } from 'pino'
import { redisOutbox } from 'postcommit/redis-outbox'
import { createCluster } from 'redis'
import { afterEach, beforeEach, describe, expect, inject, test } from 'vitest'
import { purgeEntries } from '../../../relay/store/redis-outbox/purge-entries.ts'
import { database, type TestDatabase } from '../../support/database.ts'
import { eventually } from '../../support/eventually.ts'
import { privateRedis } from '../../support/private-servers.ts'
import { spawnProgram } from '../../support/program.ts'
import { redis } from '../../support/redis.ts'
import { CLI, runCli } from '../../support/run-cli.ts'

let db: TestDatabase
let name: string

beforeEach(async () => {
  db = await database()
  name = `sale-${randomUUID().slice(0, 13)}`
})
afterEach(() => db.drop())

const soon = <T>(assertion: () => T | Promise<T>) => eventually(assertion, { timeoutMs: 30_000 })
const sold = async () => (await db.pool.query('select sold::int from postcommit.redis_stock')).rows[0]?.sold

describe('F6: in a Redis Cluster', () => {
  test('a sale through the cluster clients of both packages, and the relay on one of them', async () => {
    const bus = { 'cluster-port': String(await freePort()), 'cluster-announce-ip': '127.0.0.1' }
    await using server = await privateRedis({ settings: { 'cluster-enabled': 'yes', ...bus } })
    const node = new Redis(server.url)
    await node.call('cluster', 'addslotsrange', '0', '16383')
    await soon(async () => expect(await node.call('cluster', 'info')).toContain('cluster_state:ok'))
    const password = decodeURIComponent(new URL(server.url).password)
    const cluster = new Cluster([server.url], { redisOptions: { password }, slotsRefreshTimeout: 30_000 })
    cluster.on('error', () => undefined)
    const nodeRedis = createCluster({ rootNodes: [{ url: server.url }], defaults: { password } })
    nodeRedis.on('error', () => undefined)
    await nodeRedis.connect()
    const relay = createRelay({
      db: db.url,
      log: pino({ level: 'silent' }),
      redisOutboxes: [{ redis: nodeRedis, name, write: async () => undefined }],
    })
    try {
      await relay.start()
      const [first, second] = [redisOutbox(cluster, { name }), redisOutbox(nodeRedis, { name })]
      await first.open(db.pool, { key: 'stock', units: 3 })
      const taken = await first.deduct({ key: 'stock', qty: 2, once: 1 })
      expect(taken).toMatchObject({ status: 'ok', left: 1 })
      expect(await second.deduct({ key: 'stock', qty: 2, once: 1 })).toMatchObject({ status: 'duplicate' })
      expect(await second.deduct({ key: 'stock', once: 2 })).toMatchObject({ status: 'ok', left: 0 })
      expect(await second.script(`return redis.call('incr', KEYS[1])`).run({ keys: [`{${name}}:n`] })).toMatchObject({
        status: 'ok',
        value: 1,
      })
      // What Redis itself would say, had it been sent.
      await expect(cluster.eval('return 1', 2, `{${name}}:n`, 'cart')).rejects.toThrow(/slot/i)
      const own = second.script('return 1').run({ keys: [`{${name}}:n`, 'cart'] })
      await expect(own).rejects.toMatchObject({ code: 'POSTCOMMIT_KEYS_IN_TWO_SLOTS' })
      await soon(async () => expect(await sold()).toBe(3))
    } finally {
      await relay.stop()
      node.disconnect()
      cluster.disconnect()
      nodeRedis.destroy()
    }
  })
})

describe('the daemon', () => {
  test('writes messages from a configuration file; status, doctor and inspect know the sale', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'redis-outbox-'))
    await using clients = await redis()
    const sale = redisOutbox(clients.ioredis, { name })
    await sale.open(db.pool, { key: 'stock', units: 5 })
    const config = {
      databases: { main: { url: db.url } },
      redisOutboxes: { [name]: { url: inject('redisUrl') } },
      http: { enabled: false },
    }
    await writeFile(join(folder, 'postcommit.json'), JSON.stringify(config))
    try {
      await using _ = await spawnProgram(CLI, ['run', '--config', join(folder, 'postcommit.json')])
      const taken = await sale.deduct({
        key: 'stock',
        qty: 2,
        messages: (message) => message.publish('order.placed', { n: 1 }),
      })
      const { gid } = taken as { gid: string }
      await soon(async () => expect(await sold()).toBe(2))
      expect((await db.pool.query('select gid, topic from postcommit.outbox')).rows).toEqual([
        { gid, topic: 'order.placed' },
      ])
      const ask = (...args: string[]) => runCli([...args, '--database-url', db.url], { cwd: folder })
      expect((await ask('status')).stdout).toMatch(new RegExp(`${name} +stock +2 of 5 +0 +on sale`))
      expect((await ask('inspect', gid)).stdout).toMatch(/2 of stock taken in Redis, applied here at/)
      await db.pool.query(`update postcommit.redis_outbox set stopped_at = now(), stopped_reason = 'it is lost'`)
      expect((await ask('status')).stdout).toMatch(/stands still: it is lost/)
      expect((await ask('doctor')).stdout).toMatch(/stands still at 2 of 5 stock: it is lost/)
    } finally {
      await rm(folder, { recursive: true })
    }
  })
})

test('what was applied is remembered as long as its barrier lives', async () => {
  await using clients = await redis()
  const sale = redisOutbox(clients.ioredis, { name, horizon: '1h', barrierTtl: '2d' })
  await sale.open(db.pool, { key: 'stock', units: 5 })
  const insert = (outbox: string, gid: string, age: string) =>
    db.pool.query(
      `insert into postcommit.redis_entry (name, gid, op, applied_at) values ($1, $2, 'script', now() - $3::interval)`,
      [outbox, gid, age],
    )
  await insert(name, 'old', '49 hours')
  await insert(name, 'young', '47 hours')
  await insert('unsaid', 'old', '32 days')
  await insert('unsaid', 'young', '29 days')
  expect(await purgeEntries(db.pool, 3_600_000)).toBe(2)
  const { rows } = await db.pool.query('select name, gid from postcommit.redis_entry order by name')
  expect(rows).toEqual([
    { name, gid: 'young' },
    { name: 'unsaid', gid: 'young' },
  ])
})

test.each([
  [{ redisOutboxes: { a: { url: 'http://x' } } }, 'redis://'],
  [{ redisOutboxes: { 'a b': { url: 'redis://x' } } }, 'names of outboxes'],
  [{ redisOutboxes: { a: { url: 'redis://x', database: 'other' } } }, 'there is no database other'],
])('the configuration %j is refused', async (part, problem) => {
  const folder = await mkdtemp(join(tmpdir(), 'redis-outbox-'))
  try {
    const file = join(folder, 'postcommit.json')
    await writeFile(file, JSON.stringify({ databases: { main: { url: 'postgres://127.0.0.1/x' } }, ...part }))
    const { code, stderr } = await runCli(['check-config', '--config', file], { cwd: folder })
    expect(code).not.toBe(0)
    expect(stderr).toContain(problem)
  } finally {
    await rm(folder, { recursive: true })
  }
})
