/** Applies the invalidations that the relay publishes to a cache in Redis, and writes down when each was applied. */
import { connect } from '@nats-io/transport-node'
import { applyInvalidations, createCache, redisStore } from 'postcommit/cache'
import { createClient } from 'redis'
import { nowMs } from '../products.ts'
import { serve } from '../serve.ts'

export interface InvalidatorConfig {
  readonly nats: string
  readonly redis: string
  readonly stream: string
}

export type InvalidatorCommands = {
  /** When each product was invalidated for the first time, by the clock of the machine; then forgets it. */
  applied(): Promise<readonly (readonly [id: number, atMs: number])[]>
}

serve<InvalidatorConfig, InvalidatorCommands>(async ({ nats, redis, stream }) => {
  const connection = await connect({ servers: nats, maxReconnectAttempts: -1, reconnectTimeWait: 50 })
  const client = createClient({ url: redis, socket: { reconnectStrategy: 50 } })
  client.on('error', () => undefined)
  await client.connect()
  const store = redisStore(client)
  let appliedAt = new Map<number, number>()
  const cache = createCache({
    store: {
      ...store,
      async invalidate(key, invalidation) {
        await store.invalidate(key, invalidation)
        const id = Number(key.split(':')[1])
        if (!appliedAt.has(id)) appliedAt.set(id, nowMs())
      },
    },
    onError: () => undefined,
  })
  const applying = await applyInvalidations({
    ...{ connection, stream, durable: 'bench', caches: [cache] },
    onError: () => undefined,
  })
  return {
    commands: {
      async applied() {
        const all = [...appliedAt]
        appliedAt = new Map()
        return all
      },
    },
    async close() {
      await applying.stop()
      await cache.close()
      client.destroy()
      await connection.close()
    },
  }
})
