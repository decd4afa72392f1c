import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { type Logger, pino } from 'pino'
import { type DtmOptions, openDtmApp } from '../../relay/api/dtm/dtm-server.ts'
import { readAddressRules } from '../../relay/destinations/address-rules.ts'
import { createUrlDestination } from '../../relay/destinations/url.ts'
import { createMetrics } from '../../relay/observe/metrics.ts'
import { serveTransactions } from '../../relay/transactions.ts'
import { dispatcherSessions, insertTestRelay } from './deliveries.ts'
import { killedDtmRelay } from './killed-dtm-relay.ts'

/** A relay that speaks DTM's protocol, with DTM's tests' way to let time pass. */
export interface DtmRelay {
  /** With DTM's prefix, as its clients are given it. */
  readonly url: string
  readonly pool: pg.Pool
  stop(): Promise<void>
}

/** What a {@link dtmRelay} is like beside the defaults. */
export interface DtmRelayOptions extends DtmOptions {
  readonly alertUrl?: string
}

/** Services of tests listen on ports that nobody knows before. */
export const LOOPBACK = { allow: ['127.0.0.1'], ports: ['80', '1024-65535'] }

/**
 * Starts a relay over the database at `url`, with `POST /api/dtmsvr/test/cronOnce`: in this process, or, where the tests
 * are run so, one that is killed and started again between all steps.
 */
export async function dtmRelay(url: string, options: DtmRelayOptions = {}): Promise<DtmRelay> {
  return process.env['POSTCOMMIT_TEST_DTM_RELAY'] === 'killed'
    ? killedDtmRelay(url, options)
    : heldDtmRelay(url, options)
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
    destinations: new Map(),
    metrics,
    log,
    claimLeaseMs: 60_000,
    pollMs: { min: 2, max: 50 },
    urls,
    checks: new Map(),
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

/** Where {@link cronOnce} is asked for. */
export const CRON_ONCE_PATH = '/api/dtmsvr/test/cronOnce'

/**
 * One turn of DTM's cron, on request: takes the transaction that is due next within `forwardCron` seconds and lets its
 * time come, then waits until the relay has done what there was to do. Instead of the relay's clock, the times in the
 * row are moved, so the relay is the one that is published. `forwardNow` is by how much DTM moves the clock that
 * deadlines go by: the time to fail of a saga, and the time after which a message is asked about.
 */
export async function cronOnce(pool: pg.Pool, body: string): Promise<{ readonly gid: string }> {
  const { forwardNow = 0, forwardCron = 180 } = JSON.parse(body) as { forwardNow?: number; forwardCron?: number }
  const { rows } = await pool.query<{ id: string; gid: string }>(
    `with picked as materialized (
  select id from postcommit.global_transaction
  where finished_at is null and lease_token is null and due_at <= clock_timestamp() + $1 * interval '1 second'
  order by due_at, id limit 1 for update
), ops as (
  update postcommit.branch b set due_at = clock_timestamp()
  from picked where b.transaction_id = picked.id and b.status = 'prepared' and b.due_at is not null
)
update postcommit.global_transaction t set
  deadline = case when deadline <= clock_timestamp() + $2 * interval '1 second' then clock_timestamp() else deadline end,
  due_at = case when status = 'prepared' and due_at > clock_timestamp() + $2 * interval '1 second' then due_at
    else clock_timestamp() end
from picked where t.id = picked.id returning t.id, t.gid`,
    [forwardCron, forwardNow],
  )
  const [picked] = rows
  if (picked === undefined) return { gid: '' }
  await untilProcessed(pool, picked.gid)
  return { gid: picked.gid }
}

/** Waits until a relay has done what there was to do for a transaction now. */
export async function untilProcessed(pool: pg.Pool, gid: string): Promise<void> {
  for (const until = performance.now() + 20_000; performance.now() < until; await sleep(5)) {
    const { rows } = await pool.query(
      `select from postcommit.global_transaction
where gid = $1 and lease_token is null and (finished_at is not null or due_at > clock_timestamp())`,
      [gid],
    )
    if (rows.length === 1) return
  }
  throw new Error(`${gid} is still being carried out`)
}
