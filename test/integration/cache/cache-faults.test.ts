import { randomUUID } from 'node:crypto'
import { cp, rename, rm } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { jetstreamManager } from '@nats-io/jetstream'
import fc from 'fast-check'
import {
  type Cache,
  type CacheStore,
  type CacheTrouble,
  createCache,
  memoryStore,
  natsKvStore,
  redisStore,
} from 'postcommit/cache'
import { afterEach, describe, expect, test } from 'vitest'
import { StoreHistory } from '../../simulation/cache/store-history.ts'
import { timelessSteps } from '../../simulation/cache/store-steps.ts'
import { CACHE_PLACES } from '../../support/cache-stores.ts'
import { eventually } from '../../support/eventually.ts'
import { nats } from '../../support/nats.ts'
import { privateNats, privateRedis } from '../../support/private-servers.ts'
import { redis } from '../../support/redis.ts'

const caches: Cache[] = []
const troubles: { readonly error: unknown; readonly about: CacheTrouble }[] = []
afterEach(async () => {
  await Promise.all(caches.splice(0).map((cache) => cache.close()))
  troubles.length = 0
})

function open(store: CacheStore, timeout: number | string = 1000) {
  const cache = createCache({ store, timeout, onError: (error, about) => troubles.push({ error, about }) })
  caches.push(cache)
  const db = { version: 1, loads: 0 }
  const load = async () => {
    db.loads += 1
    return { version: db.version }
  }
  return { cache, db, values: cache.define<number, { version: number }>('product', { ttl: '10m', load }) }
}

const patient = { timeoutMs: 20_000 }

describe('C9: a store that is away', () => {
  test('Redis killed: reads go on, and when it is back nothing is read that it had before', {
    timeout: 120_000,
  }, async () => {
    await using server = await privateRedis()
    await using rd = await redis(server.url)
    const one = open(redisStore(rd.nodeRedis))
    const two = open(redisStore(rd.ioredis))
    const read = async () => [await one.values.get(1), await two.values.get(1)].map((value) => value?.version)
    two.db.version = 1
    await eventually(async () => {
      await read()
      expect([one.cache.readsFrom, two.cache.readsFrom]).toEqual(['cache', 'cache'])
    }, patient)
    expect(await one.values.get(1)).toEqual({ version: 1 })
    await server.kill()
    one.db.version = 2
    two.db.version = 2
    // The change is made, and its invalidation has to wait for the store.
    await expect(one.values.invalidate(1)).rejects.toMatchObject({ code: 'POSTCOMMIT_CACHE_UNREACHABLE' })
    for (let n = 0; n < 20; n += 1) expect(await read()).toEqual([2, 2])
    expect([one.cache.readsFrom, two.cache.readsFrom]).toEqual(['database', 'database'])
    expect(troubles.map(({ about }) => about.what)).toContain('store')
    await server.start()
    // Its data is back, the old value among it unless the client has sent the invalidation after all. Nobody may be shown
    // that, whether or not he saw it go.
    expect(['{"version":1}', null]).toContain(await rd.ioredis.hget('cache:product:1', 'v'))
    const late = open(redisStore(rd.ioredis))
    late.db.version = 2
    const until = performance.now() + 3000
    while (performance.now() < until || one.cache.readsFrom !== 'cache' || two.cache.readsFrom !== 'cache') {
      expect([...(await read()), (await late.values.get(1))?.version]).toEqual([2, 2, 2])
      await sleep(20)
    }
    const { loads } = one.db
    await read()
    expect(one.db.loads).toBe(loads)
  })

  test('Redis back with less than it had acknowledged: every cache in it takes notice, not only the first to come', {
    timeout: 120_000,
  }, async () => {
    await using server = await privateRedis()
    await using rd = await redis(server.url)
    const second = rd.ioredis.duplicate({ db: 1 })
    second.on('error', () => {})
    const opened = [
      open(redisStore(rd.nodeRedis, { prefix: 'shop:' })),
      open(redisStore(rd.ioredis, { prefix: 'mail:' })),
      open(redisStore(second, { prefix: 'mail:' })),
    ]
    const read = () => Promise.all(opened.map(async ({ values }) => (await values.get(1))?.version))
    expect(await read()).toEqual([1, 1, 1])
    const kept = `${server.dataDir}.kept`
    await cp(server.dataDir, kept, { recursive: true })
    for (const { db, values } of opened) {
      db.version = 2
      await values.invalidate(1)
    }
    await server.kill()
    await rm(server.dataDir, { recursive: true })
    await rename(kept, server.dataDir)
    await server.start()
    await eventually(() => expect(opened.map(({ cache }) => cache.readsFrom)).toEqual(Array(3).fill('cache')), patient)
    expect(await read()).toEqual([2, 2, 2])
    second.disconnect()
  })

  test('NATS restarted with what it had: nothing is read that an invalidation should have taken', {
    timeout: 120_000,
  }, async () => {
    await using server = await privateNats()
    await using broker = await nats(server.url)
    const one = open(natsKvStore(broker.connection, { bucket: 'cache', storage: 'file', firstLevel: true }))
    await one.values.get(1)
    expect(await one.values.get(1)).toEqual({ version: 1 })
    await server.kill()
    one.db.version = 2
    const missed = one.values.invalidate(1)
    missed.catch(() => undefined)
    // A first level hears of it a moment later.
    await eventually(async () => expect(await one.values.get(1)).toEqual({ version: 2 }), patient)
    for (let n = 0; n < 5; n += 1) expect(await one.values.get(1)).toEqual({ version: 2 })
    await expect(missed).rejects.toMatchObject({ code: 'POSTCOMMIT_CACHE_UNREACHABLE' })
    await server.start()
    await eventually(async () => {
      expect(await one.values.get(1)).toEqual({ version: 2 })
      expect(one.cache.readsFrom).toBe('cache')
    }, patient)
  })

  test('a store that does not answer holds a read up for its timeout, once', async () => {
    const away: CacheStore = { ...memoryStore(), claim: () => new Promise(() => {}) }
    const { cache, values } = open(away, 200)
    await eventually(() => expect(cache.readsFrom).toBe('cache'), patient)
    expect(await values.get(1)).toEqual({ version: 1 })
    expect(values.stats).toMatchObject({ bypassed: 1, loads: 1 })
  })

  test('a lease that is given when nobody waits for it any more is given back', async () => {
    const store = memoryStore()
    let answer: () => void = () => {}
    const held = new Promise<void>((resolve) => (answer = resolve))
    let late: Promise<unknown> | undefined
    const slow: CacheStore = {
      ...store,
      claim(key, options) {
        const claim = held.then(() => store.claim(key, options))
        late ??= claim
        return claim
      },
    }
    const { cache, values } = open(slow, 200)
    await eventually(() => expect(cache.readsFrom).toBe('cache'), patient)
    expect(await values.get(1)).toEqual({ version: 1 })
    answer()
    expect(await late).toMatchObject({ state: 'load' })
    const claimed = () => store.claim('product:1', { leaseMs: 10_000, since: 0 })
    await eventually(async () => expect(await claimed()).toMatchObject({ state: 'load' }), { timeoutMs: 2000 })
  })

  test('a store that is away from the start is no error', async () => {
    const away: CacheStore = { ...memoryStore(), readBoard: () => Promise.reject(new Error('nobody there')) }
    const { cache, values } = open(away)
    expect(await values.get(1)).toEqual({ version: 1 })
    expect(cache.readsFrom).toBe('database')
    await expect(cache.switch({ read: false })).rejects.toMatchObject({ code: 'POSTCOMMIT_CACHE_UNREACHABLE' })
  })
})

describe('switches', () => {
  test('wait for a process that does not answer until its time is over', { timeout: 60_000 }, async () => {
    const store = memoryStore()
    // Of a process that has stopped: it has signed, and may yet read on what it has signed.
    const { nowMs } = await store.readBoard()
    const stopped = { processes: { stopped: { version: 0, until: nowMs + 4000 } } }
    await store.swapBoard(undefined, JSON.stringify(stopped))
    const { cache } = open(store)
    await expect(cache.switch({ read: false }, { timeout: 500 })).rejects.toMatchObject({
      code: 'POSTCOMMIT_CACHE_SWITCH_PENDING',
      message: expect.stringContaining('stopped'),
    })
    await expect(cache.switch({ invalidate: false })).rejects.toMatchObject({
      code: 'POSTCOMMIT_CACHE_SWITCH_REFUSED',
      message: expect.stringContaining('stopped'),
    })
    await cache.switch({ read: false }, { timeout: '20s' })
    await cache.switch({ invalidate: false })
  })

  test('force sets it in any order', async () => {
    const { cache } = open(memoryStore())
    await cache.switch({ invalidate: false }, { force: true })
    await expect(cache.switch({ read: true })).rejects.toMatchObject({ code: 'POSTCOMMIT_CACHE_SWITCH_REFUSED' })
  })
})

describe('NATS KV', () => {
  test('a first level answers without a message, and learns of every change', { timeout: 60_000 }, async () => {
    await using broker = await nats()
    const bucket = `test-${randomUUID().slice(0, 8)}`
    const first = open(natsKvStore(broker.connection, { bucket, firstLevel: { lagMs: 2000 } }))
    const other = open(natsKvStore(await broker.connect(), { bucket }))
    await first.values.get(1)
    // The watch begins with the cache; what was read before it is not kept.
    const sent = () => broker.connection.stats().outMsgs
    await eventually(async () => {
      await first.values.get(1)
      const before = sent()
      await Promise.all(Array.from({ length: 20 }, () => first.values.get(1)))
      expect(sent() - before).toBeLessThan(5)
    }, patient)
    const tookUs: number[] = []
    for (let n = 0; n < 2000; n += 1) {
      const startedAt = performance.now()
      await first.values.get(1)
      tookUs.push((performance.now() - startedAt) * 1000)
    }
    process.stdout.write(`first level: p50 ${tookUs.sort((a, b) => a - b)[1000]?.toFixed(1)} us\n`)
    for (let version = 2; version < 20; version += 1) {
      first.db.version = version
      other.db.version = version
      await other.values.invalidate(1)
      expect(await other.values.get(1)).toEqual({ version })
      await eventually(async () => expect(await first.values.get(1)).toEqual({ version }), patient)
    }
  })

  test('while disconnected nothing of the first level is read', { timeout: 60_000 }, async () => {
    await using server = await privateNats()
    await using broker = await nats(server.url)
    const { cache, db, values } = open(natsKvStore(broker.connection, { bucket: 'cache', firstLevel: true }), 300)
    await eventually(async () => {
      await values.get(1)
      expect(cache.readsFrom).toBe('cache')
    }, patient)
    await values.get(1)
    await server.kill()
    await sleep(100)
    db.version = 2
    await eventually(async () => expect(await values.get(1)).toEqual({ version: 2 }), patient)
    expect(await values.get(1)).toEqual({ version: 2 })
  })

  test('a time to live per key is refused where the server would ignore it', async () => {
    await using broker = await nats()
    const old = { ...broker.connection, info: { version: '2.10.29' }, status: () => broker.connection.status() }
    expect(() => natsKvStore(old as never, { bucket: 'x', perKeyTtl: true })).toThrow(
      expect.objectContaining({ code: 'POSTCOMMIT_UNSUPPORTED_SERVER' }),
    )
  })

  test('a bucket that is deleted under it is made again, and a load of before is not stored there', {
    timeout: 60_000,
  }, async () => {
    await using broker = await nats()
    const bucket = `test-${randomUUID().slice(0, 8)}`
    const { cache, values } = open(natsKvStore(broker.connection, { bucket, firstLevel: true }))
    const store = natsKvStore(broker.connection, { bucket })
    await values.get(1)
    for (let n = 0; n < 100; n += 1) await store.invalidate('product:2', { staleMs: 0, id: '' })
    await store.readBoard()
    const early = await store.claim('product:2', { leaseMs: 1000, since: 0 })
    const manager = await jetstreamManager(broker.connection)
    await manager.streams.delete(`KV_${bucket}`)
    await eventually(async () => {
      await values.get(1)
      const { hits } = values.stats
      await values.get(1)
      expect(cache.readsFrom).toBe('cache')
      expect(values.stats.hits).toBe(hits + 1)
    }, patient)
    // The numbers begin anew: sooner or later the key has the revision again that the lease is.
    // A cache looks at it every second.
    await store.readBoard()
    const fill = async () => early.state === 'load' && (await store.fill('product:2', early.lease, '"old"', 60_000))
    for (let n = 0; n < 150; n += 1) {
      await store.invalidate('product:2', { staleMs: 0, id: '' })
      expect(await fill()).toBe(false)
      expect(await store.claim('product:2', { leaseMs: 1000, since: 0 })).toMatchObject({ state: 'load' })
      expect(await fill()).toBe(false)
    }
    await store.close()
  })

  test('a bucket that keeps a history is refused', async () => {
    await using broker = await nats()
    const manager = await jetstreamManager(broker.connection)
    const bucket = `test-${randomUUID().slice(0, 8)}`
    await manager.streams.add({ name: `KV_${bucket}`, subjects: [`$KV.${bucket}.>`], max_msgs_per_subject: 5 })
    const { values } = open(natsKvStore(broker.connection, { bucket }))
    expect(await values.get(1)).toEqual({ version: 1 })
    expect(troubles[0]?.error).toMatchObject({ code: 'POSTCOMMIT_CACHE_BUCKET_UNSUITABLE' })
  })

  test.each([{ bucket: 'a.b' }, { maxAge: 'soon' }, { firstLevel: { lagMs: 1 } }, { firstLevel: { entriesMax: 0 } }])(
    'refuses %j',
    async (wrong) => {
      await using broker = await nats()
      expect(() => natsKvStore(broker.connection, { bucket: 'x', ...wrong })).toThrow(
        expect.objectContaining({ code: 'POSTCOMMIT_INVALID_OPTIONS' }),
      )
    },
  )
})

test.each(CACHE_PLACES)('histories of one key in $place', { timeout: 120_000 }, async ({ open: openPlace }) => {
  await using place = await openPlace()
  const store = place.store()
  await fc.assert(
    fc.asyncProperty(timelessSteps, (steps) => new StoreHistory(store, randomUUID()).play(steps)),
    { numRuns: 50, endOnFailure: true },
  )
  await store.close()
})

test('a Redis client that is none is refused', () => {
  expect(() => redisStore({} as never)).toThrow(expect.objectContaining({ code: 'POSTCOMMIT_INVALID_OPTIONS' }))
  expect(() => redisStore({ eval: 1 } as never, { prefix: 'a b' })).toThrow(
    expect.objectContaining({ code: 'POSTCOMMIT_INVALID_OPTIONS' }),
  )
})
