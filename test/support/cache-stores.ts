import { randomUUID } from 'node:crypto'
import { connect as connectV2 } from 'nats'
import { type CacheStore, memoryStore, natsKvStore, redisStore } from 'postcommit/cache'
import { nats } from './nats.ts'
import { redis } from './redis.ts'

/** A place for caches, with a store for each process that is played. */
export interface CachePlace {
  /** A store as one more process would open it. */
  store(): CacheStore
  /** Milliseconds after which nothing of the key would be there if nobody asked again; -1: it stays. */
  expiryMs?(key: string): Promise<number>
  close(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

/** How each place is opened. */
export const CACHE_PLACES: readonly { readonly place: string; readonly open: () => Promise<CachePlace> }[] = [
  { place: 'memory', open: openMemory },
  { place: 'Redis through node-redis', open: () => openRedis('nodeRedis') },
  { place: 'Redis through ioredis', open: () => openRedis('ioredis') },
  { place: 'NATS KV through @nats-io/transport-node 3', open: () => openNatsKv() },
  { place: 'NATS KV through nats 2', open: openNatsKvV2 },
]

async function openMemory(): Promise<CachePlace> {
  const store = memoryStore()
  const close = async () => {}
  return { store: () => store, close, [Symbol.asyncDispose]: close }
}

async function openRedis(client: 'nodeRedis' | 'ioredis'): Promise<CachePlace> {
  const server = await redis()
  const prefix = `${server.tag}:`
  return {
    store: () => redisStore(server[client], { prefix }),
    expiryMs: (key) => server.ioredis.pttl(prefix + key),
    close: server.close,
    [Symbol.asyncDispose]: server.close,
  }
}

async function openNatsKv(): Promise<CachePlace> {
  const server = await nats()
  const bucket = `test-${randomUUID().slice(0, 8)}`
  return {
    store: () => natsKvStore(server.connection, { bucket }),
    close: server.close,
    [Symbol.asyncDispose]: server.close,
  }
}

async function openNatsKvV2(): Promise<CachePlace> {
  const server = await nats()
  const connection = await connectV2({ servers: server.url })
  const bucket = `test-${randomUUID().slice(0, 8)}`
  const close = async () => {
    await connection.close()
    await server.close()
  }
  return { store: () => natsKvStore(connection, { bucket }), close, [Symbol.asyncDispose]: close }
}
