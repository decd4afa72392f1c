import { type CacheEntry, cachified } from '@epic-web/cachified'
import { connect } from '@nats-io/transport-node'
import { BentoCache, bentostore } from 'bentocache'
import { memoryDriver } from 'bentocache/drivers/memory'
import { redisDriver } from 'bentocache/drivers/redis'
import { Redis } from 'ioredis'
import { type CachedValues, type CacheStore, createCache, natsKvStore, redisStore } from 'postcommit/cache'
import { z } from 'zod'

/** What is cached: a row, about 200 bytes as JSON. */
export const Product = z.object({ id: z.number(), version: z.number(), price: z.number(), text: z.string() })
export type Product = z.infer<typeof Product>

/** Reads a row of the database; undefined if there is none. */
export type LoadProduct = (id: number) => Promise<Product | undefined>

/** Products behind one of several caches, in one process. */
export interface BenchCache {
  read(id: number): Promise<unknown>
  /** What the documentation of each has one do after a change. */
  drop(id: number): Promise<unknown>
  /** For `message.invalidate`; only ours has it. */
  readonly values?: CachedValues<number, Product>
  close(): Promise<void>
}

/** Where the values are kept. */
export interface CacheAddresses {
  readonly redis: string
  readonly nats: string
}

const TTL_MS = 600_000
const SIZE = 10_000

type OpenCache = (addresses: CacheAddresses, load: LoadProduct) => Promise<BenchCache>

/** Ours, and what a user would take instead. Each is opened in a process of its own. */
export const caches = {
  postcommit: async ({ redis }, load) => {
    const client = new Redis(redis)
    return ours(redisStore(client), load, async () => client.disconnect())
  },
  'postcommit, first level': async ({ nats }, load) => {
    const connection = await connect({ servers: nats })
    return ours(natsKvStore(connection, { bucket: 'bench', firstLevel: true }), load, () => connection.close())
  },
  'GET, SET and DEL': async ({ redis }, load) => {
    const client = new Redis(redis)
    return {
      async read(id) {
        const found = await client.get(`plain:${id}`)
        if (found !== null) return Product.parse(JSON.parse(found))
        const loaded = await load(id)
        await client.set(`plain:${id}`, JSON.stringify(loaded), 'PX', TTL_MS)
        return loaded
      },
      drop: (id) => client.del(`plain:${id}`),
      close: async () => client.disconnect(),
    }
  },
  'cachified over Redis': async ({ redis }, load) => {
    const client = new Redis(redis)
    const cache = {
      async get(key: string): Promise<CacheEntry | null> {
        const found = await client.get(key)
        return found === null ? null : (JSON.parse(found) as CacheEntry)
      },
      set: (key: string, entry: CacheEntry) => client.set(key, JSON.stringify(entry), 'PX', TTL_MS),
      delete: (key: string) => client.del(key),
    }
    return cachifiedOver(cache, load, async () => client.disconnect())
  },
  'bentocache over Redis': async ({ redis }, load) => {
    const connection = new Redis(redis)
    const store = bentostore().useL2Layer(redisDriver({ connection }))
    return bentocacheOver(new BentoCache({ default: 'products', stores: { products: store } }), load, connection)
  },
  'a Map': async (_, load) => {
    const kept = new Map<number, Product | undefined>()
    return {
      async read(id) {
        const found = kept.get(id)
        if (found !== undefined) return found
        const loaded = await load(id)
        kept.set(id, loaded)
        return loaded
      },
      drop: async (id) => kept.delete(id),
      close: async () => undefined,
    }
  },
  'cachified over a Map': async (_, load) => cachifiedOver(new Map<string, CacheEntry>(), load, async () => undefined),
  'bentocache, memory before Redis': async ({ redis }, load) => {
    const connection = new Redis(redis)
    const store = bentostore()
      .useL1Layer(memoryDriver({ maxItems: SIZE }))
      .useL2Layer(redisDriver({ connection }))
    return bentocacheOver(new BentoCache({ default: 'products', stores: { products: store } }), load, connection)
  },
} as const satisfies Readonly<Record<string, OpenCache>>

/** Their names. */
export type CacheName = keyof typeof caches

function ours(store: CacheStore, load: LoadProduct, closeStore: () => Promise<unknown>): BenchCache {
  const cache = createCache({ store })
  const values = cache.define('product', { schema: Product, ttl: TTL_MS, load })
  return {
    read: (id) => values.get(id),
    drop: (id) => values.invalidate(id),
    values,
    async close() {
      await cache.close()
      await closeStore()
    },
  }
}

interface CachifiedStore {
  get(key: string): CacheEntry | null | undefined | Promise<CacheEntry | null>
  set(key: string, entry: CacheEntry): unknown
  delete(key: string): unknown
}

function cachifiedOver(cache: CachifiedStore, load: LoadProduct, close: () => Promise<unknown>): BenchCache {
  return {
    read: (id) =>
      cachified({ key: `cachified:${id}`, cache, ttl: TTL_MS, checkValue: Product, getFreshValue: () => load(id) }),
    drop: async (id) => cache.delete(`cachified:${id}`),
    close: async () => void (await close()),
  }
}

interface Bento {
  getOrSet(options: { key: string; ttl: number; factory: () => Promise<Product | undefined> }): Promise<unknown>
  delete(options: { key: string }): Promise<unknown>
}

function bentocacheOver(bento: Bento, load: LoadProduct, connection: Redis): BenchCache {
  return {
    read: (id) => bento.getOrSet({ key: String(id), ttl: TTL_MS, factory: () => load(id) }),
    drop: (id) => bento.delete({ key: String(id) }),
    close: async () => connection.disconnect(),
  }
}
