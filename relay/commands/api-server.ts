import pg from 'pg'
import type { Logger } from 'pino'
import { type Api, startApi } from '../api/server.ts'
import type { RelayConfig } from '../config/schema.ts'
import type { Relay } from '../relay.ts'

const CONNECTIONS_MAX = 4
const CONNECT_TIMEOUT_MS = 5000
const STATEMENT_TIMEOUT_MS = 30_000

/**
 * Serves the API of a relay; what it reads and what people do goes over connections of its own, so that a slow list
 * takes none from the transactions. Undefined: it is not to be served, or there are no transactions.
 */
export async function serveApi(config: RelayConfig, relay: Relay, log: Logger): Promise<Api | undefined> {
  const { database } = config.coordinator
  if (!config.api.enabled || database === undefined) return undefined
  const pool = new pg.Pool({
    connectionString: config.databases[database]?.url,
    max: CONNECTIONS_MAX,
    application_name: 'postcommit api',
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    query_timeout: STATEMENT_TIMEOUT_MS,
  })
  pool.on('error', (error) => log.warn({ source: database, error: error.message }, 'an idle connection was lost'))
  pool.on('connect', (client) => client.on('error', () => undefined))
  const { host, port, auth } = config.api
  try {
    const api = await startApi({
      host,
      port,
      auth,
      pool,
      transactions: () => relay.transactions,
      metrics: relay.metrics,
      log,
    })
    log.info({ url: api.url, auth }, 'serving the API')
    return {
      ...api,
      async close() {
        await api.close()
        await pool.end()
      },
    }
  } catch (error) {
    await pool.end()
    throw error
  }
}
