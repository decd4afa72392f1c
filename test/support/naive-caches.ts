import type { Redis } from 'ioredis'

/**
 * What is done without a lease: look, load, set; and delete after a change. Kept as the control of the tests: it must
 * fail where the cache must not.
 */
export const plainCache = {
  async get(redis: Redis, key: string, load: () => Promise<string>): Promise<string> {
    const found = await redis.get(key)
    if (found !== null) return found
    const loaded = await load()
    await redis.set(key, loaded, 'PX', 600_000)
    return loaded
  },
  async invalidate(redis: Redis, key: string): Promise<void> {
    await redis.del(key)
  },
}

/**
 * The scheme of DTM's cache, told in our own words from its description: a hash with the value, who loads it, and until
 * when by the client's clock in whole seconds; an invalidation marks the value and lets it stand for a while. Also a
 * control: its gaps are why ours differs.
 */
export const markingCache = {
  /** Gives the value and whether the caller is to load it. */
  async ask(redis: Redis, key: string, owner: string, nowSeconds: number, lockSeconds: number) {
    const reply = await redis.eval(
      `local value, till = redis.call('hget', KEYS[1], 'value'), redis.call('hget', KEYS[1], 'till')
       if (till and tonumber(till) < tonumber(ARGV[1])) or (not till and not value) then
         redis.call('hset', KEYS[1], 'till', ARGV[2], 'owner', ARGV[3])
         return { value, 1 }
       end
       return { value, 0 }`,
      1,
      key,
      nowSeconds,
      nowSeconds + lockSeconds,
      owner,
    )
    const [value, mine] = reply as [string | null, number]
    return { value, isMine: mine === 1 }
  },
  /** Sets several; it gives up at the first that somebody else owns. */
  async set(redis: Redis, keys: readonly string[], values: readonly string[], owner: string, ttlSeconds: number) {
    await redis.eval(
      `for at = 1, #KEYS do
         if redis.call('hget', KEYS[at], 'owner') ~= ARGV[1] then return 0 end
         redis.call('hset', KEYS[at], 'value', ARGV[at + 2])
         redis.call('hdel', KEYS[at], 'till', 'owner')
         redis.call('expire', KEYS[at], ARGV[2])
       end
       return 1`,
      keys.length,
      ...keys,
      owner,
      ttlSeconds,
      ...values,
    )
  },
  /** The load has failed. */
  async giveBack(redis: Redis, key: string, lockSeconds: number): Promise<void> {
    await redis.hset(key, 'till', 0)
    await redis.hdel(key, 'owner')
    await redis.expire(key, lockSeconds)
  },
  async invalidate(redis: Redis, key: string, delaySeconds: number): Promise<void> {
    await redis.hset(key, 'till', 0)
    await redis.hdel(key, 'owner')
    await redis.expire(key, delaySeconds)
  },
}
