import pg from 'pg'
import { type Logger, pino } from 'pino'
import { openDtmApp } from '../../relay/api/dtm/dtm-server.ts'
import { serveTransactions } from '../../relay/coordinator/serve-transactions.ts'
import { readAddressRules } from '../../relay/destinations/address-rules.ts'
import { Gates } from '../../relay/destinations/gates.ts'
import { createUrlDestination } from '../../relay/destinations/url.ts'
import { createMetrics } from '../../relay/observe/metrics.ts'
import { NO_ADDRESSES } from './coordinators.ts'
import { dispatcherSessions, insertTestRelay } from './deliveries.ts'
import {
  CRON_ONCE_PATH,
  cronOnce,
  type DtmRelay,
  type DtmRelayOptions,
  isKilledBetweenSteps,
  LOOPBACK,
} from './dtm-steps.ts'
import { killedDtmRelay } from './killed-dtm-relay.ts'

/**
 * Starts a relay over the database at `url`, with `POST /api/dtmsvr/test/cronOnce`: in this process, or, where the tests
 * are run so, one that is killed and started again between all steps.
 */
export async function dtmRelay(url: string, options: DtmRelayOptions = {}): Promise<DtmRelay> {
  return isKilledBetweenSteps ? killedDtmRelay(url, options) : heldDtmRelay(url, options)
}

async function heldDtmRelay(url: string, options: DtmRelayOptions): Promise<DtmRelay> {
  const { alertUrl, ...dtm } = options
  const pool = new pg.Pool({ ...dispatcherSessions(url), application_name: 'test relay for DTM' })
  pool.on('error', () => undefined)
  const metrics = createMetrics()
  const log: Logger = pino({ level: 'silent' })
  const relay = await insertTestRelay(pool)
  const urls = createUrlDestination(LOOPBACK)
  const transactions = serveTransactions({
    source: 'main',
    pool,
    relayId: () => relay,
    broker: () => undefined,
    gates: new Gates({ destinations: new Map(), urls, metrics, log }),
    metrics,
    log,
    claimLeaseMs: 60_000,
    pollMs: { min: 2, max: 50 },
    onHandedOver: () => undefined,
    checks: new Map(),
    targets: NO_ADDRESSES,
    checkAfterMs: 10_000,
    deadlineMs: 35_000,
    ...(alertUrl !== undefined && { alerts: { url: alertUrl, everyAttempts: 3 } }),
  })
  const app = openDtmApp(dtm, {
    transactions: () => transactions,
    tenant: '',
    addresses: readAddressRules(LOOPBACK),
    registry: metrics.registry,
  })
  app.post(CRON_ONCE_PATH, (request) => cronOnce(pool, String(request.body)))
  const address = await app.listen({ host: '127.0.0.1', port: 0 })
  return {
    url: `${address}/api/dtmsvr`,
    pool,
    async stop() {
      await app.close()
      await transactions.stop({ drainMs: 1000 })
      await urls.close()
      await pool.end()
    },
  }
}
