import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, describe, expect, test } from 'vitest'
import { type Cache, createCache } from './cache.ts'
import type { CacheStore } from './cache-store.ts'
import { memoryStore } from './memory-store.ts'

const caches: Cache[] = []
afterEach(async () => {
  await Promise.all(caches.splice(0).map((cache) => cache.close()))
})

function open(store: CacheStore, timeout = 500): Cache {
  const cache = createCache({ store, timeout, onError: () => undefined })
  caches.push(cache)
  return cache
}

/** A store that comes back without its board: evicted, or restarted without a disk. */
async function loseBoard(store: CacheStore): Promise<void> {
  const { text } = await store.readBoard()
  if (!(await store.swapBoard(text, '{"processes":{}}'))) await loseBoard(store)
}

describe('a board that was lost', () => {
  test('undoes no switch', async () => {
    const store = memoryStore()
    const [one, two] = [open(store), open(store)]
    await one.switch({ read: false })
    await one.switch({ invalidate: false })
    await loseBoard(store)
    await sleep(2500)
    expect([one.readsFrom, two.readsFrom]).toEqual(['database', 'database'])
    // Also for who has known nothing of it.
    expect(
      await open(store)
        .switch({ read: true })
        .catch((error: unknown) => error),
    ).toMatchObject({
      code: 'POSTCOMMIT_CACHE_SWITCH_REFUSED',
    })
    await one.switch({ invalidate: true })
    await one.switch({ read: true })
    expect([one.readsFrom, two.readsFrom]).toEqual(['cache', 'cache'])
  })

  test('makes nobody believe again what was doubted', async () => {
    const store = memoryStore()
    const cache = open(store)
    const db = { version: 1 }
    const values = cache.define('product', { ttl: '10m', load: () => db.version })
    await values.get(1)
    await cache.switch({ read: false })
    await cache.switch({ invalidate: false })
    db.version = 2
    await cache.switch({ invalidate: true })
    await cache.switch({ read: true })
    await loseBoard(store)
    await sleep(1500)
    expect(await values.get(1)).toBe(2)
  })
})

test('a lease that comes too late for who asked is given back', async () => {
  const store = memoryStore()
  const late: (() => void)[] = []
  const slow: CacheStore = {
    ...store,
    claim: (key, options) =>
      new Promise((resolve) => {
        late.push(() => resolve(store.claim(key, options)))
      }),
  }
  const values = open(slow, 100).define<number, number>('product', { ttl: '10m', lease: '10s', load: () => 1 })
  expect(await values.get(1)).toBe(1)
  expect(late).toHaveLength(1)
  late[0]?.()
  await sleep(50)
  // Nobody has to wait ten seconds for somebody who is no longer there.
  expect(await store.claim('product:1', { leaseMs: 1000, since: 0 })).toMatchObject({ state: 'load' })
})
