/** The caches of the service, as all of its processes have them; `postcommit cache verify` imports this too. */
import { connect } from '@nats-io/transport-node'
import pg from 'pg'
import { createCache, natsKvStore, redisStore } from 'postcommit/cache'
import { createClient } from 'redis'
import { z } from 'zod'

const Product = z.object({ id: z.number(), version: z.number() })

const { DATABASE_URL = '', NATS_URL = '', REDIS_URL = '' } = process.env
export const pool = new pg.Pool({ connectionString: DATABASE_URL })
export const connection = await connect({ servers: NATS_URL, maxReconnectAttempts: -1 })
export const redis = createClient({ url: REDIS_URL })
redis.on('error', () => undefined)
await redis.connect()

/** What a cache asks when it has no answer; a change of a product gives it the next version. */
export async function load(id: number): Promise<unknown> {
  return (await pool.query('select id, version from products where id = $1', [id])).rows[0]
}

// Two of them, to show both; a service would have one.
export const inRedis = createCache({ store: redisStore(redis), timeout: '10s' })
export const inNats = createCache({ store: natsKvStore(connection, { bucket: 'products' }), timeout: '10s' })
export const products = [inRedis, inNats].map((cache) =>
  cache.define('product', { schema: Product, ttl: '10m', lease: '1s', load }),
)
