import { randomUUID } from 'node:crypto'
import { Redis } from 'ioredis'
import { createClient } from 'redis'
import { inject } from 'vitest'

/** Both clients of a Redis, and keys that no other test uses. */
export interface TestRedis {
  readonly url: string
  /** A name for a hash tag: `{<tag>}:stock` is this test's alone. */
  readonly tag: string
  readonly nodeRedis: ReturnType<typeof openNodeRedis>
  readonly ioredis: Redis
  close(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

/** Connects to the Redis of the test run, or to the one given. */
export async function redis(url: string = inject('redisUrl')): Promise<TestRedis> {
  const nodeRedis = openNodeRedis(url)
  // The tests kill connections and servers.
  nodeRedis.on('error', () => {})
  await nodeRedis.connect()
  const ioredis = new Redis(url)
  ioredis.on('error', () => {})
  const close = async () => {
    nodeRedis.destroy()
    ioredis.disconnect()
  }
  const tag = `test-${randomUUID().slice(0, 13)}`
  return { url, tag, nodeRedis, ioredis, close, [Symbol.asyncDispose]: close }
}

function openNodeRedis(url: string) {
  return createClient({ url })
}
