import { setTimeout as sleep } from 'node:timers/promises'
import type pg from 'pg'
import type { DtmOptions } from '../../relay/api/dtm/dtm-server.ts'

/** A relay that speaks DTM's protocol, with DTM's tests' way to let time pass. */
export interface DtmRelay {
  /** With DTM's prefix, as its clients are given it. */
  readonly url: string
  readonly pool: pg.Pool
  stop(): Promise<void>
}

/** What a relay of DTM's tests is like beside the defaults. */
export interface DtmRelayOptions extends DtmOptions {
  readonly alertUrl?: string
}

/** Services of tests listen on ports that nobody knows before. */
export const LOOPBACK = { allow: ['127.0.0.1'], ports: ['80', '1024-65535'] }

/** Whether the relay is killed and started again before every step, which takes its time. */
export const isKilledBetweenSteps = process.env['POSTCOMMIT_TEST_DTM_RELAY'] === 'killed'

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
