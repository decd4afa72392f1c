import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Cache, type CacheOptions, type CacheTrouble, createCache, type DefinitionOptions } from 'postcommit/cache'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { z } from 'zod'
import { CACHE_PLACES, type CachePlace } from '../../support/cache-stores.ts'
import { eventually } from '../../support/eventually.ts'

const Product = z.object({ version: z.number() })
type Product = z.infer<typeof Product>

let place: CachePlace
const caches: Cache[] = []
const troubles: CacheTrouble[] = []

afterEach(async () => {
  await Promise.all(caches.splice(0).map((cache) => cache.close()))
  troubles.length = 0
  vi.useRealTimers()
})

/** A cache as one more process has it. On a busy machine a store may take its time. */
function process(options: Partial<CacheOptions> = {}): Cache {
  const cache = createCache({
    store: place.store(),
    timeout: '20s',
    onError: (_, about) => troubles.push(about),
    ...options,
  })
  caches.push(cache)
  return cache
}

/** A database of one row, whose loads can be held. */
function row(version = 1) {
  const held: (() => void)[] = []
  const state = {
    version: version as number | null,
    loads: 0,
    isHolding: false,
    /** Lets the oldest load that is held go on. */
    letGo: () => held.shift()?.(),
    held,
    load: async (): Promise<Product | null> => {
      state.loads += 1
      const read = state.version
      if (state.isHolding) await new Promise<void>((resolve) => held.push(resolve))
      return read === null ? null : { version: read }
    },
  }
  return state
}

const name = () => `p-${randomUUID().slice(0, 8)}`

describe.each(CACHE_PLACES)('a cache in $place', ({ open }) => {
  beforeAll(async () => {
    place = await open()
  })
  afterAll(() => place.close())

  const define = (cache: Cache, at: string, options: Partial<DefinitionOptions<number, Product>>) =>
    cache.define<number, Product>(at, { schema: Product, ttl: '10m', load: () => null, ...options })

  test('loads once and then reads what is stored, in every process', async () => {
    const [at, db] = [name(), row()]
    const [a, b] = [define(process(), at, db), define(process(), at, db)]
    expect(await a.get(1)).toEqual({ version: 1 })
    expect(await a.get(1)).toEqual({ version: 1 })
    expect(await b.get(1)).toEqual({ version: 1 })
    expect(db.loads).toBe(1)
    expect([a.stats, b.stats]).toMatchObject([
      { loads: 1, hits: 1 },
      { loads: 0, hits: 1 },
    ])
  })

  test('gives every reader a value of his own', async () => {
    const [at, db] = [name(), row()]
    const a = define(process(), at, db)
    const [one, two] = await Promise.all([a.get(1), a.get(1)])
    expect(one).toEqual(two)
    expect(one).not.toBe(two)
  })

  test('C1: a load that began before an invalidation is not stored, whenever it ends', async () => {
    const [at, db] = [name(), row()]
    const [a, b] = [define(process(), at, db), define(process(), at, db)]
    db.isHolding = true
    const late = a.get(1)
    await eventually(() => expect(db.held).toHaveLength(1))
    db.version = 2
    await b.invalidate(1)
    db.isHolding = false
    expect(await b.get(1)).toEqual({ version: 2 })
    db.letGo()
    await late
    expect(a.stats.fillsDropped).toBe(1)
    expect([await a.get(1), await b.get(1)]).toEqual([{ version: 2 }, { version: 2 }])
    expect(db.loads).toBe(2)
  })

  test('who comes after an invalidation does not take over a load that began before it', async () => {
    const [at, db] = [name(), row()]
    const a = define(process(), at, db)
    db.isHolding = true
    const early = a.get(1)
    await eventually(() => expect(db.held).toHaveLength(1))
    db.version = 2
    await a.invalidate(1)
    db.isHolding = false
    const after = [a.get(1), a.get(1)]
    db.letGo()
    await early
    expect(await Promise.all(after)).toEqual([{ version: 2 }, { version: 2 }])
  })

  test('C2: the load of a process that died is taken over when its lease is over, and its key expires', async () => {
    const [at, db] = [name(), row()]
    const a = define(process(), at, { ...db, lease: 300 })
    const dead = place.store()
    expect(await dead.claim(`${at}:1`, { leaseMs: 300, since: 0 })).toMatchObject({ state: 'load' })
    const expiryMs = await place.expiryMs?.(`${at}:1`)
    if (expiryMs !== undefined) expect(expiryMs).toBeGreaterThan(0)
    const startedAt = performance.now()
    expect(await a.get(1)).toEqual({ version: 1 })
    expect(performance.now() - startedAt).toBeGreaterThan(200)
  })

  test('C3: the clocks of the processes mean nothing', async () => {
    const [at, db] = [name(), row()]
    const [a, b] = [define(process(), at, db), define(process(), at, db)]
    db.isHolding = true
    const loading = a.get(1)
    await eventually(() => expect(db.held).toHaveLength(1))
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 3_600_000 })
    const waiting = b.get(1)
    await sleep(100)
    expect(db.loads).toBe(1)
    db.letGo()
    expect(await Promise.all([loading, waiting])).toEqual([{ version: 1 }, { version: 1 }])
    vi.setSystemTime(Date.now() - 7_200_000)
    expect(await b.get(1)).toEqual({ version: 1 })
    expect(db.loads).toBe(1)
  })

  test('C4: a loader that fails does not prolong a stale value, and then its error is seen', async () => {
    const [at, db] = [name(), row()]
    const failing = { on: false }
    const load = async () => {
      if (failing.on) throw new Error('the database is away')
      return await db.load()
    }
    const mode = { staleWhileRefresh: 600 }
    const [a, b] = [define(process(), at, { load, mode }), define(process(), at, { load, mode })]
    await a.get(1)
    failing.on = true
    const startedAt = performance.now()
    await a.invalidate(1)
    let lastStaleMs = 0
    for (let error: unknown; error === undefined; await sleep(20)) {
      const seen = await (lastStaleMs % 2 < 1 ? a : b).get(1).catch((cause: unknown) => {
        error = cause
      })
      if (seen !== undefined) lastStaleMs = performance.now() - startedAt
      else expect(String(error)).toContain('the database is away')
      // An invalidation that comes later, and failing refreshes, only bring the deadline nearer.
      if (seen !== undefined) await b.invalidate(1)
      expect(performance.now() - startedAt).toBeLessThan(5000)
    }
    expect(lastStaleMs).toBeGreaterThan(100)
    expect(lastStaleMs).toBeLessThan(1000)
    expect(troubles).toContainEqual({ what: 'refresh', key: `${at}:1` })
    failing.on = false
    db.version = 2
    expect(await a.get(1)).toEqual({ version: 2 })
  })

  test('stale while refresh: the old value is shown while one loads the new one', async () => {
    const [at, db] = [name(), row()]
    const mode = { staleWhileRefresh: '10s' }
    const [a, b] = [define(process(), at, { ...db, mode }), define(process(), at, { ...db, mode })]
    await a.get(1)
    db.version = 2
    db.isHolding = true
    await a.invalidate(1)
    expect(await Promise.all([a.get(1), b.get(1), a.get(1)])).toEqual(Array(3).fill({ version: 1 }))
    await eventually(() => expect(db.held).toHaveLength(1))
    db.isHolding = false
    db.letGo()
    await eventually(async () => expect(await b.get(1)).toEqual({ version: 2 }))
    expect(db.loads).toBe(2)
    expect(a.stats.stale + b.stats.stale).toBeGreaterThanOrEqual(3)
  })

  test('C5: an invalidation of one key of a batch keeps no other from being stored', async () => {
    const at = name()
    const held: (() => void)[] = []
    let batches = 0
    const a = define(process(), at, {
      loadMany: async (ids) => {
        batches += 1
        if (batches === 1) await new Promise<void>((resolve) => held.push(resolve))
        return ids.map((id) => ({ version: id }))
      },
    })
    const batch = a.getMany([1, 2, 3, 4])
    await eventually(() => expect(held).toHaveLength(1))
    await a.invalidate(2)
    held[0]?.()
    expect(await batch).toEqual([1, 2, 3, 4].map((version) => ({ version })))
    const store = place.store()
    const stored = await Promise.all([1, 2, 3, 4].map((id) => store.peek(`${at}:${id}`, 0)))
    expect(stored.map((text) => text !== undefined)).toEqual([true, false, true, true])
  })

  test('C10: 1000 misses at once in four processes are one load', async () => {
    const [at, db] = [name(), row()]
    const load = async () => {
      await sleep(50)
      return await db.load()
    }
    const processes = Array.from({ length: 4 }, () => define(process(), at, { load }))
    const reads = Array.from({ length: 1000 }, async (_, n) => await processes[n % 4]?.get(1))
    expect(new Set((await Promise.all(reads)).map((value) => value?.version))).toEqual(new Set([1]))
    expect(db.loads).toBe(1)
  })

  test('C11: what is not there is asked for once', async () => {
    const [at, db] = [name(), row()]
    db.version = null
    const [a, b] = [define(process(), at, db), define(process(), at, db)]
    for (let n = 0; n < 20; n += 1) {
      await Promise.all(Array.from({ length: 500 }, async () => await (n % 2 ? a : b).get(404)))
    }
    expect(await a.get(404)).toBeNull()
    expect(db.loads).toBe(1)
    db.version = 1
    await a.invalidate(404)
    expect(await b.get(404)).toEqual({ version: 1 })
  })

  test('C12: a stored value of another shape is loaded anew', async () => {
    const [at, db] = [name(), row()]
    const before = process().define(at, { ttl: '10m', load: () => ({ revision: 'old' }) })
    const after = define(process(), at, db)
    expect(await before.get(1)).toEqual({ revision: 'old' })
    expect(await Promise.all([after.get(1), after.get(1)])).toEqual([{ version: 1 }, { version: 1 }])
    expect(await after.get(1)).toEqual({ version: 1 })
    expect(db.loads).toBe(1)
    expect(after.stats.mismatched).toBe(1)
  })

  test('an error of the loader reaches everybody who waits for it, and is not kept', async () => {
    const at = name()
    let loads = 0
    const a = define(process(), at, {
      load: async () => {
        loads += 1
        await sleep(20)
        if (loads === 1) throw new Error('the database is away')
        return { version: loads }
      },
    })
    const reads = await Promise.allSettled([a.get(1), a.get(1)])
    expect(reads.every(({ status }) => status === 'rejected')).toBe(true)
    expect(await a.get(1)).toEqual({ version: 2 })
    expect(a.stats).toMatchObject({ loads: 2, loadsFailed: 1 })
  })

  test('what cannot be cached is refused and gives its lease back', async () => {
    const at = name()
    const values: unknown[] = [{ version: Number.NaN }, { version: 'one' }, new Uint8Array(2), { version: 1 }]
    const a = define(process(), at, { load: () => values.shift() })
    for (let n = 0; n < 3; n += 1) {
      await expect(a.get(1)).rejects.toMatchObject({ code: 'POSTCOMMIT_UNSUITABLE_CACHE_VALUE' })
    }
    expect(await a.get(1)).toEqual({ version: 1 })
  })

  test('an invalidation that comes a second time, by its name, drops nothing that was loaded in between', async () => {
    const [at, db] = [name(), row()]
    const [a, b] = [define(process(), at, db), define(process(), at, db)]
    await a.get(1)
    await a.apply('1', 'gid:1')
    expect(await a.get(1)).toEqual({ version: 1 })
    await b.apply('1', 'gid:1')
    expect(await b.get(1)).toEqual({ version: 1 })
    expect(db.loads).toBe(2)
    await b.apply('1', 'gid:2')
    await b.get(1)
    expect(db.loads).toBe(3)
  })

  test('verify finds a value that nobody has invalidated, and no other', async () => {
    const at = name()
    const versions = new Map([
      [1, 1],
      [2, 1],
      [3, 1],
    ])
    const a = define(process(), at, { load: (id) => ({ version: versions.get(id) }) })
    await a.getMany([1, 2, 3])
    versions.set(1, 2)
    versions.set(2, 2)
    const verifying = a.verify([1, 2, 3, 4], { graceMs: 200 })
    await sleep(50)
    await a.invalidate(2)
    expect(await verifying).toEqual({
      checked: 4,
      cached: 3,
      inconsistent: [{ key: `${at}:1`, cached: '{"version":1}', loaded: '{"version":2}' }],
    })
    expect(a.stats).toMatchObject({ verified: 3, inconsistent: 1 })
  })

  test('switched off in order, everybody reads from the database; switched on again, nothing old is believed', async () => {
    const [at, db] = [name(), row()]
    const [one, two] = [process(), process()]
    const [a, b] = [define(one, at, db), define(two, at, db)]
    await Promise.all([a.get(1), b.get(1)])
    await expect(one.switch({ invalidate: false })).rejects.toMatchObject({ code: 'POSTCOMMIT_CACHE_SWITCH_REFUSED' })
    await one.switch({ read: false })
    expect([one.readsFrom, two.readsFrom]).toEqual(['database', 'database'])
    await two.switch({ invalidate: false })
    db.version = 2
    await a.invalidate(1)
    expect([await a.get(1), await b.get(1)]).toEqual([{ version: 2 }, { version: 2 }])
    await expect(one.switch({ read: true })).rejects.toMatchObject({ code: 'POSTCOMMIT_CACHE_SWITCH_REFUSED' })
    await one.switch({ invalidate: true })
    await one.switch({ read: true })
    expect([one.readsFrom, two.readsFrom]).toEqual(['cache', 'cache'])
    expect([await a.get(1), await b.get(1)]).toEqual([{ version: 2 }, { version: 2 }])
    const { loads } = db
    await Promise.all([a.get(1), b.get(1)])
    expect(db.loads).toBe(loads)
  })

  test('a closed cache says so', async () => {
    const cache = process()
    const a = define(cache, name(), {})
    await cache.close()
    await expect(a.get(1)).rejects.toMatchObject({ code: 'POSTCOMMIT_CACHE_CLOSED' })
  })
})

describe('C6: what cannot work is refused when it is defined', () => {
  const define = (options: object) => () =>
    createCache({ store: place.store() }).define('x', { ttl: '1m', load: () => null, ...options })
  beforeAll(async () => {
    place = await (CACHE_PLACES[0]?.open() ?? Promise.reject())
  })

  test.each([
    { ttl: 0 },
    { ttl: -1 },
    { ttl: 'soon' },
    { ttl: '1s', mode: { staleWhileRefresh: '2s' } },
    { mode: { staleWhileRefresh: 0 } },
    { ttl: '1s', negativeTtl: '2s' },
    { jitter: 1 },
    { lease: 1 },
  ])('%j', (options) => {
    expect(define(options)).toThrow(expect.objectContaining({ code: 'POSTCOMMIT_INVALID_OPTIONS' }))
  })

  test('and so is a key that is none', () => {
    const values = define({ key: (id: unknown) => id as string })()
    for (const key of ['', 'x'.repeat(181), 'a\nb', undefined, {}]) {
      expect(() => values.keyOf(key as never)).toThrow(
        expect.objectContaining({ code: 'POSTCOMMIT_INVALID_CACHE_KEY' }),
      )
    }
    expect(values.keyOf('{7}:a' as never)).toBe('{7}:a')
  })
})
