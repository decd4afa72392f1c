import { jetstreamManager } from '@nats-io/jetstream'
import { headers } from '@nats-io/transport-node'
import { createRelay, type Relay } from '@postcommit/relay'
import type { NatsServer } from '@postcommit/relay/dev'
import { pino } from 'pino'
import { createOutbox } from 'postcommit'
import {
  applyInvalidations,
  type Cache,
  type CacheStore,
  createCache,
  type Invalidatable,
  memoryStore,
  natsKvStore,
  redisStore,
  valuesNamed,
  watchTable,
} from 'postcommit/cache'
import { armFailpoints, ENVELOPE } from 'postcommit/protocol'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { database, type TestDatabase } from '../../support/database.ts'
import { eventually } from '../../support/eventually.ts'
import { nats, type TestNats } from '../../support/nats.ts'
import { privateNats } from '../../support/private-servers.ts'
import { defineProducts, makeProducts, raise } from '../../support/products.ts'
import { redis, type TestRedis } from '../../support/redis.ts'

let server: NatsServer
let broker: TestNats
let db: TestDatabase
let rd: TestRedis
let relay: Relay
const closers: (() => Promise<unknown>)[] = []

beforeAll(async () => {
  server = await privateNats()
  broker = await nats(server.url)
  const manager = await jetstreamManager(broker.connection)
  await manager.streams.add({ name: 'CACHE', subjects: ['postcommit.cache.>'], duplicate_window: 600e9 })
})
afterAll(async () => {
  await broker.close()
  await server[Symbol.asyncDispose]()
})
beforeEach(async () => {
  db = await database()
  rd = await redis()
  await makeProducts(db.pool, 10)
  relay = createRelay({ db: db.url, nats: { connection: { servers: server.url } }, log: pino({ level: 'silent' }) })
})
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
  await relay.stop()
  await rd.close()
  await db.drop()
})

/** On a busy machine a store may take its time. */
function open(store: CacheStore): Cache {
  const cache = createCache({ store, timeout: '20s', onError: () => undefined })
  closers.push(() => cache.close())
  return cache
}

async function apply(durable: string, ...caches: Cache[]) {
  const applying = await applyInvalidations({
    ...{ connection: broker.connection, stream: 'CACHE', durable: `${durable}-${db.name}`, caches },
    onError: () => undefined,
    verify: { sample: 1, afterMs: 50 },
  })
  closers.push(() => applying.stop())
  return applying
}

const onRedis = () => redisStore(rd.nodeRedis, { prefix: `${rd.tag}:` })

describe('an invalidation in a commit', () => {
  test('is a message of the transaction: with it or not at all', async () => {
    const products = defineProducts(open(memoryStore()), db.pool)
    const outbox = createOutbox({ db: db.pool })
    await outbox.commit((_, message) => message.invalidate(products, 7))
    await expect(
      outbox.commit((_, message) => {
        message.invalidate(products, 8)
        throw new Error('changed my mind')
      }),
    ).rejects.toThrow('changed my mind')
    const { rows } = await db.pool.query('select topic, key, payload from postcommit.outbox')
    expect(rows).toEqual([{ topic: 'postcommit.cache.product', key: 'product:7', payload: '{"key":"7","id":7}' }])
  })

  test('with waitFor, a read that begins after the commit sees what it wrote', async () => {
    const [writer, reader] = [open(onRedis()), open(onRedis())]
    const [written, read] = [defineProducts(writer, db.pool), defineProducts(reader, db.pool)]
    const outbox = createOutbox({ db: db.pool })
    for (let version = 2; version < 30; version += 1) {
      await read.get(1)
      const { cache } = await outbox.commit(
        async (tx, message) => {
          await raise(tx, 1)
          message.invalidate(written, 1)
        },
        { waitFor: 'cache', timeoutMs: 20_000 },
      )
      expect(cache).toBe('applied')
      expect(await read.get(1)).toEqual({ id: 1, version })
    }
  })

  test('without waitFor it is applied all the same, and nobody is told', async () => {
    const products = defineProducts(open(onRedis()), db.pool)
    await products.get(1)
    const result = await createOutbox({ db: db.pool }).commit(async (tx, message) => {
      await raise(tx, 1)
      message.invalidate(products, 1)
    })
    expect(result).not.toHaveProperty('cache')
    await eventually(async () => expect(await products.get(1)).toMatchObject({ version: 2 }))
  })

  test('says pending where no cache is at hand or it does not answer', async () => {
    const outbox = createOutbox({ db: db.pool })
    const away: CacheStore = { ...memoryStore(), invalidate: () => new Promise(() => {}) }
    const here = defineProducts(open(memoryStore()), db.pool)
    const wait = { waitFor: 'cache', timeoutMs: 100 } as const
    const commit = (values: Invalidatable<number>) => outbox.commit((_, message) => message.invalidate(values, 1), wait)
    expect(await commit(here)).toMatchObject({ cache: 'applied' })
    expect(await commit(valuesNamed<number>('product'))).toMatchObject({ cache: 'pending' })
    expect(await commit(defineProducts(open(away), db.pool))).toMatchObject({ cache: 'pending' })
    expect(await outbox.commit(() => 1, wait)).toMatchObject({ value: 1, cache: 'applied' })
  })

  test('a repeated commit says it again', async () => {
    const products = defineProducts(open(onRedis()), db.pool)
    const outbox = createOutbox({ db: db.pool })
    const again = () =>
      outbox.commit((_, message) => message.invalidate(products, 1), {
        gid: 'mine',
        waitFor: 'cache',
        timeoutMs: 20_000,
      })
    expect(await again()).toMatchObject({ duplicated: false, cache: 'applied' })
    expect(await again()).toMatchObject({ duplicated: true, cache: 'applied' })
  })

  test('nobody else publishes where invalidations are', async () => {
    const outbox = createOutbox({ db: db.pool })
    await expect(outbox.commit((_, message) => message.publish('postcommit.cache.product', {}))).rejects.toMatchObject({
      code: 'POSTCOMMIT_INVALID_SUBJECT',
    })
    expect(() => valuesNamed('a b')).toThrow(expect.objectContaining({ code: 'POSTCOMMIT_INVALID_OPTIONS' }))
  })
})

describe('through the relay', () => {
  test('it reaches the caches of others, several at once, and one that does not know the name', async () => {
    const caches = [
      open(onRedis()),
      open(natsKvStore(broker.connection, { bucket: `kv-${db.name}` })),
      open(memoryStore()),
    ]
    const values = caches.slice(0, 2).map((cache) => defineProducts(cache, db.pool))
    await relay.start()
    const applying = await apply('shop', ...caches)
    await Promise.all(values.map((each) => each.get(3)))
    await createOutbox({ db: db.pool }).commit(async (tx, message) => {
      await raise(tx, 3)
      message.invalidate(valuesNamed<number>('product'), 3)
    })
    await eventually(
      async () => {
        for (const each of values) expect(await each.get(3)).toMatchObject({ version: 2 })
      },
      { timeoutMs: 20_000 },
    )
    expect(applying.stats).toMatchObject({ failed: 0 })
  })

  test('what the committing process has applied is not applied again', async () => {
    const [writer, other] = [open(onRedis()), open(onRedis())]
    const products = defineProducts(writer, db.pool)
    const read = defineProducts(other, db.pool)
    await relay.start()
    await read.get(1)
    await createOutbox({ db: db.pool }).commit(
      async (tx, message) => {
        await raise(tx, 1)
        message.invalidate(products, 1)
      },
      { waitFor: 'cache', timeoutMs: 20_000 },
    )
    expect(await read.get(1)).toMatchObject({ version: 2 })
    const applying = await apply('shop', other)
    await eventually(() => expect(applying.stats.handled).toBeGreaterThanOrEqual(1), { timeoutMs: 20_000 })
    await read.get(1)
    expect(read.stats.loads).toBe(2)
    // The comparison that was drawn for it.
    await eventually(() => expect(other.stats['product']).toMatchObject({ verified: 1, inconsistent: 0 }), {
      timeoutMs: 20_000,
    })
  })

  test('C8: a service that dies between COMMIT and the cache, 200 times', { timeout: 180_000 }, async () => {
    const caches = [open(onRedis()), open(natsKvStore(broker.connection, { bucket: `kv-${db.name}` }))]
    const values = caches.map((cache) => defineProducts(cache, db.pool))
    await relay.start()
    await apply('shop', ...caches)
    const outbox = createOutbox({ db: db.pool })
    const ids = Array.from({ length: 10 }, (_, index) => index + 1)
    const tookMs: number[] = []
    for (let version = 2; version <= 21; version += 1) {
      await Promise.all(values.flatMap((each) => ids.map((id) => each.get(id))))
      for (const id of ids) {
        armFailpoints('sdk.after_commit:throw')
        const commit = outbox.commit(async (tx, message) => {
          await raise(tx, id)
          for (const each of values) message.invalidate(each, id)
        })
        await expect(commit).rejects.toThrow('failpoint sdk.after_commit')
      }
      const startedAt = performance.now()
      await eventually(
        async () => {
          const seen = await Promise.all(values.flatMap((each) => ids.map((id) => each.get(id))))
          expect(seen.map((product) => product?.version)).toEqual(Array(20).fill(version))
        },
        { timeoutMs: 20_000 },
      )
      tookMs.push(performance.now() - startedAt)
    }
    const sorted = tookMs.sort((a, b) => a - b).map(Math.round)
    process.stdout.write(`equal after a crash: median ${sorted[10]} ms, at most ${sorted.at(-1)} ms\n`)
  })

  test('a stream that is not there is told by its name, and found once it is', async () => {
    await using other = await privateNats()
    await using away = await nats(other.url)
    const cache = open(memoryStore())
    const products = defineProducts(cache, db.pool)
    const told: unknown[] = []
    const applying = await applyInvalidations({
      ...{ connection: away.connection, durable: 'shop', caches: [cache] },
      onError: (error) => told.push(error),
    })
    expect(told).toEqual([expect.objectContaining({ code: 'POSTCOMMIT_CACHE_STREAM_MISSING' })])
    expect(String(told[0])).toContain('POSTCOMMIT_CACHE')
    const manager = await jetstreamManager(away.connection)
    await manager.streams.add({ name: 'POSTCOMMIT_CACHE', subjects: ['postcommit.cache.>'] })
    const carried = headers()
    carried.set(ENVELOPE.gid, 'someone-s')
    carried.set(ENVELOPE.branch, '1')
    carried.set(ENVELOPE.content, 'application/json')
    away.connection.publish('postcommit.cache.product', '{"key":"7","id":7}', { headers: carried })
    await eventually(() => expect(products.stats.invalidated).toBe(1), { timeoutMs: 20_000 })
    await applying.stop()
  })

  test('a message that is no invalidation holds up nobody', async () => {
    await relay.start()
    const applying = await apply('shop', open(memoryStore()))
    broker.connection.publish('postcommit.cache.product', 'not one of ours')
    const products = valuesNamed<number>('product')
    await createOutbox({ db: db.pool }).commit((_, message) => message.invalidate(products, 1))
    await eventually(() => expect(applying.stats.handled).toBeGreaterThanOrEqual(1), { timeoutMs: 20_000 })
  })
})

describe('watchTable', () => {
  test('invalidates for writes that know nothing of the cache', async () => {
    const cache = open(onRedis())
    const products = defineProducts(cache, db.pool)
    await db.pool.query(watchTable({ table: 'products', name: 'product' }))
    await db.pool.query(watchTable({ table: 'public.products', name: 'product' }))
    await db.pool.query('truncate postcommit.outbox')
    await relay.start()
    await apply('shop', cache)
    expect(await Promise.all([1, 2, 11].map((id) => products.get(id)))).toMatchObject([
      { version: 1 },
      { version: 1 },
      null,
    ])
    await db.pool.query('update products set version = 9 where id = 1')
    await db.pool.query('update products set id = 11 where id = 2')
    await eventually(
      async () => {
        expect(await Promise.all([1, 2, 11].map((id) => products.get(id)))).toEqual([
          { id: 1, version: 9 },
          null,
          { id: 11, version: 1 },
        ])
      },
      { timeoutMs: 20_000 },
    )
    await db.pool.query('delete from products where id = 11')
    await eventually(async () => expect(await products.get(11)).toBeNull(), { timeoutMs: 20_000 })
    const { rows } = await db.pool.query<{ gid: string; payload: string }>(
      'select gid, payload from postcommit.outbox order by id',
    )
    expect(rows.map(({ payload }) => JSON.parse(payload))).toEqual(
      [1, 2, 11, 11].map((id) => ({ key: String(id), id })),
    )
    for (const { gid } of rows)
      expect(gid).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
    const drawnAtMs = Number.parseInt(rows[0]?.gid.replaceAll('-', '').slice(0, 12) ?? '', 16)
    expect(Math.abs(drawnAtMs - Date.now())).toBeLessThan(120_000)
  })

  test('joins several columns', async () => {
    await db.pool.query('create table stock (shop int, sku text, left_over int, primary key (shop, sku))')
    await db.pool.query(watchTable({ table: 'stock', name: 'stock', columns: ['shop', 'sku'] }))
    await db.pool.query(`insert into stock values (1, 'a:b', 2)`)
    const { rows } = await db.pool.query('select topic, payload::json from postcommit.outbox')
    expect(rows).toEqual([{ topic: 'postcommit.cache.stock', payload: { key: '1:a:b' } }])
  })

  test.each([
    { table: 'a; drop table b' },
    { table: 'a.b.c' },
    { columns: ['"x"'] },
    { columns: [] },
    { name: "it's" },
  ])('refuses %j', (wrong) => {
    expect(() => watchTable({ table: 'products', name: 'product', ...wrong })).toThrow(
      expect.objectContaining({ code: 'POSTCOMMIT_INVALID_OPTIONS' }),
    )
  })
})
