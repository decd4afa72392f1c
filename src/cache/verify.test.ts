import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { type Cache, type CacheTrouble, createCache } from './cache.ts'
import { memoryStore } from './memory-store.ts'

const caches: Cache[] = []
const told: { readonly error: unknown; readonly about: CacheTrouble }[] = []
afterEach(async () => {
  await Promise.all(caches.splice(0).map((cache) => cache.close()))
  told.length = 0
})

function open(schema?: z.ZodType<object>) {
  const store = memoryStore()
  const cache = createCache({ store, onError: (error, about) => told.push({ error, about }) })
  caches.push(cache)
  const db: { row: object | null; loads: number } = { row: { id: 1, price: 7 }, loads: 0 }
  const load = () => {
    db.loads += 1
    return db.row
  }
  const options = { ttl: '10m', load, ...(schema !== undefined && { schema }) }
  return { store, cache, db, values: cache.define<number, object>('product', options) }
}

describe('verify', () => {
  test('a value that changes to and fro, with its invalidations, is not inconsistent', async () => {
    const { db, values } = open()
    const [seven, eight] = [{ price: 7 }, { price: 8 }]
    db.row = seven
    await values.get(1)
    db.row = eight
    // The first look sees 7 in the cache and 8 in the database: the invalidation is on its way.
    const verifying = values.verify([1], { graceMs: 200 })
    await sleep(50)
    await values.invalidate(1)
    db.row = seven
    await values.get(1)
    // And so it is again at the second look: the same text, of another fill.
    db.row = eight
    expect(await verifying).toEqual({ checked: 1, cached: 1, inconsistent: [] })
    expect(await values.verify([1], { graceMs: 10 })).toMatchObject({ inconsistent: [{ key: 'product:1' }] })
  })

  test('the order of properties is no difference', async () => {
    const { db, values } = open()
    await values.get(1)
    db.row = { price: 7, id: 1 }
    expect(await values.verify([1], { graceMs: 10 })).toMatchObject({ cached: 1, inconsistent: [] })
  })

  test('what the schema refuses is shown to nobody, and not compared', async () => {
    const { store, values } = open(z.object({ price: z.number() }))
    const { lease } = (await store.claim('product:1', { leaseMs: 1000, since: 0 })) as { lease: string }
    await store.fill('product:1', lease, '{"cost":7}', 60_000)
    expect(await values.verify([1], { graceMs: 10 })).toEqual({ checked: 1, cached: 0, inconsistent: [] })
  })

  test('what was missed while invalidations were off is believed by nobody', async () => {
    const { cache, db, values } = open()
    await values.get(1)
    await cache.switch({ read: false })
    db.row = { id: 1, price: 8 }
    expect(await values.verify([1], { graceMs: 10 })).toMatchObject({ inconsistent: [{ key: 'product:1' }] })
    await cache.switch({ invalidate: false })
    expect(await values.verify([1], { graceMs: 10 })).toMatchObject({ cached: 0 })
    await cache.switch({ invalidate: true })
    await cache.switch({ read: true })
    expect(await values.verify([1], { graceMs: 10 })).toMatchObject({ cached: 0 })
  })

  test('knows the definitions by name', async () => {
    const { cache, values } = open()
    await values.get(1)
    expect(await cache.verify('product', [1])).toMatchObject({ cached: 1 })
    await expect(cache.verify('user', [1])).rejects.toMatchObject({ code: 'POSTCOMMIT_INVALID_OPTIONS' })
  })
})

describe('verifyLater', () => {
  test('tells of an old value by its key alone, and counts', async () => {
    const { cache, db, values } = open()
    await values.get(1)
    db.row = { id: 1, price: 8 }
    cache.verifyLater('product', 1, 10)
    cache.verifyLater('user', 1, 10)
    await sleep(1500)
    expect(told).toEqual([
      {
        error: expect.objectContaining({ code: 'POSTCOMMIT_CACHE_INCONSISTENT' }),
        about: { what: 'inconsistent', key: 'product:1' },
      },
    ])
    expect(String(told[0]?.error)).not.toContain('price')
    expect(values.stats).toMatchObject({ verified: 1, inconsistent: 1 })
  })

  test('leaves out what is more than a thousand at once', async () => {
    const { cache, db, values } = open()
    await values.get(1)
    for (let n = 0; n < 5000; n += 1) cache.verifyLater('product', 1, 1)
    await sleep(500)
    expect(db.loads).toBe(1 + 1000)
    cache.verifyLater('product', 1, 1)
    await sleep(100)
    expect(db.loads).toBe(1 + 1001)
  })

  test('compares nothing any more once the cache is closed', async () => {
    const { cache, db } = open()
    cache.verifyLater('product', 1, 20)
    await cache.close()
    await sleep(60)
    expect(db.loads).toBe(0)
  })
})
