import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { markingCache, plainCache } from '../../support/naive-caches.ts'
import { redis, type TestRedis } from '../../support/redis.ts'

/** The situations of cache.test.ts, in which these must be seen to fail; or those tests would prove nothing. */
let rd: TestRedis
beforeAll(async () => {
  rd = await redis()
})
afterAll(() => rd.close())
const key = (name: string) => `${rd.tag}:${name}`

describe('plain GET, SET and DEL', () => {
  test('C1: a load that began before the invalidation is stored after it, and stays', async () => {
    let finish: (value: string) => void = () => {}
    const late = plainCache.get(rd.ioredis, key('c1'), () => new Promise((resolve) => (finish = resolve)))
    await sleep(20)
    await plainCache.invalidate(rd.ioredis, key('c1'))
    expect(await plainCache.get(rd.ioredis, key('c1'), async () => 'v2')).toBe('v2')
    finish('v1')
    await late
    expect(await plainCache.get(rd.ioredis, key('c1'), async () => 'v2')).toBe('v1')
  })

  test('C10: every miss is a load', async () => {
    let loads = 0
    const load = async () => {
      loads += 1
      await sleep(50)
      return 'v'
    }
    await Promise.all(Array.from({ length: 100 }, () => plainCache.get(rd.ioredis, key('c10'), load)))
    expect(loads).toBeGreaterThan(50)
  })
})

describe('a mark, an owner and the clock of the client', () => {
  const ask = (name: string, owner: string, nowSeconds: number) =>
    markingCache.ask(rd.ioredis, key(name), owner, nowSeconds, 3)

  test('C2: a lock on a new key has no expiry', async () => {
    expect(await ask('c2', 'dead', 1000)).toEqual({ value: null, isMine: true })
    expect(await rd.ioredis.pttl(key('c2'))).toBe(-1)
  })

  test('C3: a process whose clock is ahead takes a lock that is held', async () => {
    expect(await ask('c3', 'a', 1000)).toMatchObject({ isMine: true })
    expect(await ask('c3', 'b', 1000)).toMatchObject({ isMine: false })
    expect(await ask('c3', 'b', 1000 + 3600)).toMatchObject({ isMine: true })
  })

  test('C4: failing loads keep an invalidated value for ever', async () => {
    await ask('c4', 'a', 1000)
    await markingCache.set(rd.ioredis, [key('c4')], ['v1'], 'a', 600)
    await markingCache.invalidate(rd.ioredis, key('c4'), 1)
    const until = performance.now() + 2500
    let seen: string | null = 'v1'
    while (performance.now() < until && seen !== null) {
      const { value, isMine } = await ask('c4', 'a', 1000)
      seen = value
      if (isMine) await markingCache.giveBack(rd.ioredis, key('c4'), 3)
      await sleep(100)
    }
    expect(seen).toBe('v1')
  })

  test('C5: one invalidated key keeps the rest of a batch from being stored', async () => {
    const keys = ['c5a', 'c5b', 'c5c']
    for (const name of keys) await ask(name, 'a', 1000)
    await markingCache.invalidate(rd.ioredis, key('c5a'), 10)
    await markingCache.set(rd.ioredis, keys.map(key), ['1', '2', '3'], 'a', 600)
    expect(await Promise.all(keys.map((name) => rd.ioredis.hget(key(name), 'value')))).toEqual([null, null, null])
  })

  test('C6: a time to live that is used up by the delay stores nothing, and nobody is told', async () => {
    await ask('c6', 'a', 1000)
    await markingCache.set(rd.ioredis, [key('c6')], ['v1'], 'a', 5 - 10)
    expect(await rd.ioredis.exists(key('c6'))).toBe(0)
  })

  test('C7: a read after the invalidation is answered with the old value', async () => {
    await ask('c7', 'a', 1000)
    await markingCache.set(rd.ioredis, [key('c7')], ['v1'], 'a', 600)
    await markingCache.invalidate(rd.ioredis, key('c7'), 10)
    expect(await ask('c7', 'b', 1000)).toMatchObject({ value: 'v1' })
  })
})
