import { randomUUID } from 'node:crypto'
import { cp, rename, rm } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Cache, createCache, redisStore } from 'postcommit/cache'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { eventually } from '../../support/eventually.ts'
import { redisCluster, type TestRedisCluster } from '../../support/redis-cluster.ts'

let cluster: TestRedisCluster
const caches: Cache[] = []
const patient = { timeoutMs: 30_000 }

beforeAll(async () => {
  cluster = await redisCluster()
})
afterEach(async () => {
  await Promise.all(caches.splice(0).map((cache) => cache.close()))
})
afterAll(() => cluster.close())

describe.each(['nodeRedis', 'ioredis'] as const)('a cache in a Redis cluster through %s', (client) => {
  const ids = Array.from({ length: 60 }, (_, index) => index + 1)

  /** A database of sixty rows, and a cache of them as one more process has it. */
  async function open(prefix: string, db = { version: 1, loads: 0 }) {
    const cache = createCache({
      store: redisStore(cluster[client], { prefix }),
      timeout: '20s',
      onError: () => undefined,
    })
    caches.push(cache)
    // What the nodes held before somebody looked at them is not believed, nor what comes in the second after that.
    await eventually(() => expect(cache.readsFrom).toBe('cache'), patient)
    await sleep(1100)
    const loadMany = async (wanted: readonly number[]) => {
      db.loads += wanted.length
      return wanted.map((id) => ({ id, version: db.version }))
    }
    const load = async (id: number) => (await loadMany([id]))[0]
    const values = cache.define<number, { version: number }>('product', { ttl: '10m', lease: '1s', load, loadMany })
    const versions = async (of: readonly number[] = ids) =>
      (await values.getMany(of)).map((product) => product?.version)
    return { cache, db, values, versions }
  }
  const prefix = () => `${randomUUID().slice(0, 8)}:`

  test('a batch over all nodes is loaded once, stored on each, and invalidated key by key', async () => {
    const at = prefix()
    const one = await open(at)
    const two = await open(at, one.db)
    expect(await one.versions()).toEqual(ids.map(() => 1))
    expect(await two.versions()).toEqual(ids.map(() => 1))
    expect(one.db.loads).toBe(60)
    for (const node of [0, 1, 2]) expect(await cluster.ask(node, 'keys', `${at}product:*`)).not.toHaveLength(0)
    one.db.version = 2
    await Promise.all(ids.filter((id) => id % 2 === 0).map((id) => one.values.invalidate(id)))
    expect(await two.versions()).toEqual(ids.map((id) => (id % 2 === 0 ? 2 : 1)))
    expect(one.db.loads).toBe(90)
  })

  test('a node that does not know the scripts is given them', async () => {
    const { cache, db, versions } = await open(prefix())
    await versions()
    await Promise.all([0, 1, 2].map((node) => cluster.ask(node, 'script', 'flush')))
    expect(new Set(await versions())).toEqual(new Set([1]))
    await eventually(async () => {
      // Forgotten scripts may be forgotten writes: what is there is not believed, and loaded once more.
      await versions()
      expect(cache.readsFrom).toBe('cache')
      expect(db.loads).toBe(120)
    }, patient)
  })

  test('slots that move while it reads and invalidates', { timeout: 120_000 }, async () => {
    const at = prefix()
    const { db, values, versions } = await open(at)
    await versions()
    let isMoving = true
    const seen: string[] = []
    const reading = (async () => {
      while (isMoving) {
        for (const id of ids) {
          db.version += 1
          const least = db.version
          await values.invalidate(id)
          const product = await values.get(id)
          if ((product?.version ?? 0) < least) seen.push(`${product?.version} of ${id} after ${least}`)
        }
      }
    })()
    await moveSlots(at, 20)
    isMoving = false
    await reading
    expect(seen).toEqual([])
    const least = db.version
    expect(Math.min(...(await versions()).map((version) => version ?? 0))).toBeGreaterThan(least - ids.length - 1)
  })

  test.each([0, 1, 2])(
    'node %i comes back without an invalidation that it had acknowledged',
    {
      timeout: 120_000,
    },
    async (node) => {
      const { cache, db, values, versions } = await open(prefix())
      await versions()
      const server = cluster.nodes[node]
      const { dataDir = '' } = server ?? {}
      const kept = `${dataDir}.kept`
      await cp(dataDir, kept, { recursive: true })
      db.version = 2
      for (const id of ids) await values.invalidate(id)
      await server?.kill()
      await rm(dataDir, { recursive: true })
      await rename(kept, dataDir)
      await server?.start()
      await eventually(async () => {
        expect(await versions()).toEqual(ids.map(() => 2))
        expect(cache.readsFrom).toBe('cache')
      }, patient)
      for (let n = 0; n < 10; n += 1) {
        expect(await versions()).toEqual(ids.map(() => 2))
        await sleep(100)
      }
    },
  )
})

/** Moves the slots of some keys from the first node to the second one, in the steps that `redis-cli` takes. */
async function moveSlots(prefix: string, count: number): Promise<void> {
  const [, to] = cluster.nodes
  const [fromId, toId] = (await Promise.all([0, 1].map((node) => cluster.ask(node, 'cluster', 'myid')))) as string[]
  const keys = (await cluster.ask(0, 'keys', `${prefix}product:*`)) as string[]
  expect(keys).not.toHaveLength(0)
  const slots = new Set(await Promise.all(keys.map((key) => cluster.ask(0, 'cluster', 'keyslot', key))))
  for (const slot of [...slots].slice(0, count).map(String)) {
    await cluster.ask(1, 'cluster', 'setslot', slot, 'importing', fromId ?? '')
    await cluster.ask(0, 'cluster', 'setslot', slot, 'migrating', toId ?? '')
    for (;;) {
      const moving = (await cluster.ask(0, 'cluster', 'getkeysinslot', slot, '100')) as string[]
      if (moving.length === 0) break
      const { host, port } = to ?? { host: '', port: 0 }
      await cluster.ask(0, 'migrate', host, String(port), '', '0', '5000', 'auth', 'of-a-test-alone', 'keys', ...moving)
    }
    for (const node of [1, 0, 2]) await cluster.ask(node, 'cluster', 'setslot', slot, 'node', toId ?? '')
  }
}
