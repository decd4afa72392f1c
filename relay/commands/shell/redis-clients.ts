import type { Logger } from 'pino'
import { PostcommitError } from 'postcommit/protocol'
import type { NodeRedisLike } from 'postcommit/redis-outbox'
import type { RelayConfig } from '../../config/schema.ts'
import type { RelayOptions } from '../../relay.ts'

/** The outboxes of a configuration, each with a client of its own. */
export interface RedisClients {
  readonly outboxes: NonNullable<RelayOptions['redisOutboxes']>
  close(): Promise<void>
}

/**
 * Makes the clients of the configured outboxes in Redis. The package is loaded only if there are any: a relay that has
 * none need not have it installed. A Redis that is away is waited for.
 *
 * @throws `POSTCOMMIT_INVALID_CONFIG` if the package `redis` is not installed.
 */
export async function openRedisClients({ redisOutboxes }: RelayConfig, log: Logger): Promise<RedisClients> {
  const configured = Object.entries(redisOutboxes)
  if (configured.length === 0) return { outboxes: [], close: async () => undefined }
  const { createClient, createCluster } = await import('redis').catch((cause: unknown) => {
    const problems = '  - redisOutboxes: the package `redis` is not installed here; run: npm install redis'
    throw new PostcommitError('POSTCOMMIT_INVALID_CONFIG', { problems }, { cause })
  })
  const clients = configured.map(([name, { url, cluster }]) => {
    // What is asked while the server is away fails at once, and the relay asks again.
    const client = cluster
      ? createCluster({ rootNodes: [{ url }], defaults: { disableOfflineQueue: true } })
      : createClient({ url, disableOfflineQueue: true })
    client.on('error', (error: Error) =>
      log.debug({ outbox: name, error: error.message }, 'a connection to Redis failed'),
    )
    client.connect().catch(() => undefined)
    return client
  })
  return {
    outboxes: configured.map(([name, { database, batch }], index) => ({
      name,
      batch,
      redis: clients[index] as unknown as NodeRedisLike,
      ...(database !== undefined && { source: database }),
    })),
    async close() {
      for (const client of clients) client.destroy()
    },
  }
}
