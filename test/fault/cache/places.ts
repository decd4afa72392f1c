import { connect, type NatsConnection } from '@nats-io/transport-node'
import pg from 'pg'
import { type Cache, type CachedValues, createCache, natsKvStore, redisStore } from 'postcommit/cache'
import { createClient } from 'redis'

/** Where everything is; the argument of each program of the run. */
export interface Addresses {
  readonly databaseUrl: string
  readonly natsUrl: string
  readonly redisUrl: string
}

/** A row of the database: each change of it has a number of its own. */
export interface Product {
  readonly id: number
  readonly version: number
}

/** The products in a Redis and in a NATS KV bucket, as each process opens them. */
export interface Places {
  readonly pool: pg.Pool
  readonly connection: NatsConnection
  readonly caches: readonly Cache[]
  readonly values: readonly CachedValues<number, Product>[]
  close(): Promise<void>
}

/** How many products there are. */
export const PRODUCTS = 8

/** Opens both. Everything reconnects for ever. */
export async function openPlaces({ databaseUrl, natsUrl, redisUrl }: Addresses): Promise<Places> {
  const pool = new pg.Pool({ connectionString: databaseUrl, max: 4 })
  pool.on('error', () => undefined)
  const connection = await connect({ servers: natsUrl, maxReconnectAttempts: -1, reconnectTimeWait: 50 })
  const client = createClient({ url: redisUrl, socket: { reconnectStrategy: 50 } })
  client.on('error', () => undefined)
  await client.connect()
  const load = async (id: number): Promise<unknown> =>
    (await pool.query('select id, version from products where id = $1', [id])).rows[0]
  const onError = (): void => undefined
  const caches = [
    createCache({ store: redisStore(client), timeout: '2s', onError }),
    createCache({ store: natsKvStore(connection, { bucket: 'products' }), timeout: '2s', onError }),
  ]
  return {
    pool,
    connection,
    caches,
    values: caches.map((cache) => cache.define<number, Product>('product', { ttl: '10m', lease: '1s', load })),
    async close() {
      await Promise.all(caches.map((cache) => cache.close()))
      client.destroy()
      await connection.close()
      await pool.end()
    },
  }
}

/** The addresses that a program was given. */
export function addressesOf(argument: string | undefined): Addresses {
  return JSON.parse(argument ?? '{}') as Addresses
}
