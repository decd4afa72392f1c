import { hostname } from 'node:os'
import type { Logger } from 'pino'
import { PostcommitError, within } from 'postcommit/protocol'
import type { RelayAddresses } from '../api/listeners.ts'
import type { RelayConfig } from '../config/schema.ts'
import { createMetrics } from '../observe/metrics.ts'
import { type HealthServer, startHealthServer } from '../observe/server.ts'
import { preflight } from '../preflight.ts'
import { createRelay, type Relay } from '../relay.ts'
import { openRedisClients } from './shell/redis-clients.ts'
import { relayOptions } from './shell/relay-options.ts'
import { withClient } from './shell/sources.ts'

/** A relay with its health server, as `run` and `dev` run one. */
export interface Daemon {
  readonly relay: Relay
  readonly healthUrl: string | undefined
  readonly addresses: RelayAddresses
  /** Drains and ends; resolves to whether it did so in time. */
  stop(): Promise<boolean>
}

/** How long ending may take beyond the drain. */
const STOP_GRACE_MS = 5000

/** What a relay is called unless it is given a name. */
export const DEFAULT_NAME = `${hostname()}:${process.pid}`

/**
 * Starts a relay and its health server. A database that is away is waited for, as it would be later; one that only a
 * person can mend is refused at once.
 *
 * @throws `POSTCOMMIT_LISTEN_FAILED`, and what `requireTrustworthy` throws and repeating does not mend.
 */
export async function startDaemon(config: RelayConfig, cwd: string, log: Logger): Promise<Daemon> {
  const metrics = createMetrics()
  const redis = await openRedisClients(config, log)
  const options = { name: DEFAULT_NAME, ...relayOptions(config, cwd), redisOutboxes: redis.outboxes }
  const relay = createRelay({ ...options, log, metrics })
  await Promise.all(Object.entries(config.databases).map(([source, { url }]) => refuseHopeless(source, url, log)))
  const server = config.http.enabled ? await serveHealth(config, relay, log) : undefined
  const addresses = await relay.listen().catch(async (error: unknown) => {
    await Promise.all([server?.close(), relay.stop()])
    await redis.close()
    throw error
  })
  const started = relay.start().then(
    () => log.info('every source is being served'),
    () => undefined,
  )
  return {
    relay,
    healthUrl: server?.url,
    addresses,
    async stop() {
      server?.drain()
      const ended = relay.stop().then(() => true)
      const inTime = await within(config.drainMs + STOP_GRACE_MS, ended, () => false)
      await Promise.all([server?.close(), redis.close()])
      if (inTime) await started
      return inTime
    },
  }
}

async function refuseHopeless(source: string, url: string, log: Logger): Promise<void> {
  try {
    await withClient(source, url, (client) => preflight(client, source))
  } catch (error) {
    if (error instanceof PostcommitError && !error.retryable) throw error
    log.warn({ source, error: error instanceof Error ? error.message : String(error) }, 'waiting for the database')
  }
}

async function serveHealth({ http }: RelayConfig, relay: Relay, log: Logger): Promise<HealthServer> {
  const server = await startHealthServer({
    ...http,
    health: () => relay.health(),
    registry: relay.metrics.registry,
    refresh: () => relay.refreshMetrics(),
  })
  log.info({ url: server.url }, 'serving health and metrics')
  return server
}
