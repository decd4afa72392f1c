import type pg from 'pg'
import type { Logger } from 'pino'
import type { Metrics } from '../observe/metrics.ts'
import { putSequenceRight } from '../postgres/put-sequence-right.ts'
import { purgeApiKeys } from '../store/api-key/purge-api-keys.ts'
import { purgeBrokerMarks } from '../store/broker/purge-broker-marks.ts'
import { purgeSettled } from '../store/delivery/purge-settled.ts'
import { selectSequenceLag } from '../store/log/advance-sequence.ts'
import { relaySessionName } from '../store/member/end-relay-sessions.ts'
import { purgeEntries } from '../store/redis-outbox/purge-entries.ts'
import { purgeFinished } from '../store/transaction/purge-finished.ts'
import { WakeSignal } from '../wake-signal.ts'
import { OverdueLog } from './overdue-log.ts'
import { dropOldPartitions, endOldPartition, makePartitionsAhead } from './partitions.ts'

/** What there is to keep in order. */
export interface HousekeepingOptions {
  readonly source: string
  readonly pool: pg.Pool
  /** The id under which this relay takes part; undefined while it does not. */
  readonly relayId: () => string | undefined
  readonly metrics: Metrics
  readonly log: Logger
  readonly retentionMs: number
}

/** A running housekeeper. */
export interface Housekeeping {
  stop(): Promise<void>
}

const ROUND_MS = 5000
const HOUSEKEEPING_LOCK = '8107365744'

/**
 * Keeps the sequence of the log ahead of its ids, makes partitions ahead, ends and drops old ones, purges settled
 * deliveries, finished transactions and old entries of Redis: one relay of a database at a time.
 */
export function startHousekeeping(options: HousekeepingOptions): Housekeeping {
  const { source, pool, relayId, metrics, log, retentionMs } = options
  const overdue = new OverdueLog(log.child({ source }))
  const signal = new WakeSignal()
  let stopping = false
  let wasBehind = false

  async function round(relay: string): Promise<void> {
    const client = await pool.connect()
    try {
      // Under the relay's name, so that whoever buries it ends this session and frees the lock with it.
      await client.query(`select set_config('application_name', $1, false)`, [relaySessionName(relay)])
      const { rows } = await client.query<{ locked: boolean }>('select pg_try_advisory_lock($1) as locked', [
        HOUSEKEEPING_LOCK,
      ])
      if (rows[0]?.locked !== true) return
      try {
        // The publishers do it first, if there are any, and keep the order of what was committed meanwhile.
        const isBehind = (await selectSequenceLag(client)) !== undefined
        if (isBehind && wasBehind) await putSequenceRight(client, options)
        wasBehind = isBehind
        await makePartitionsAhead(client, log)
        await endOldPartition(client, retentionMs, log)
        metrics.partitionOverdue.set({ source }, overdue.note(await dropOldPartitions(client, retentionMs, log)) / 1000)
        await purgeBrokerMarks(client, retentionMs)
        await purgeSettled(client, retentionMs)
        await purgeFinished(client, retentionMs)
        await purgeEntries(client, retentionMs)
        await purgeApiKeys(client)
      } finally {
        await client.query('select pg_advisory_unlock($1)', [HOUSEKEEPING_LOCK])
      }
    } finally {
      client.release()
    }
  }

  async function run(): Promise<void> {
    while (!stopping) {
      const relay = relayId()
      if (relay !== undefined) {
        await round(relay).catch((error: Error) => log.warn({ source, error: error.message }, 'housekeeping failed'))
      }
      await signal.wait(relay === undefined ? 200 : ROUND_MS)
    }
  }

  const running = run()
  return {
    async stop() {
      stopping = true
      signal.call()
      await running
    },
  }
}
