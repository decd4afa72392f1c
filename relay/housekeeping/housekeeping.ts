import type pg from 'pg'
import type { Logger } from 'pino'
import { purgeSettled } from '../store/purge-settled.ts'
import { WakeSignal } from '../wake-signal.ts'
import { dropOldPartitions, makePartitionsAhead } from './partitions.ts'

/** What there is to keep in order. */
export interface HousekeepingOptions {
  readonly source: string
  readonly pool: pg.Pool
  readonly isMember: () => boolean
  readonly log: Logger
  readonly retentionMs: number
}

/** A running housekeeper. */
export interface Housekeeping {
  stop(): Promise<void>
}

const ROUND_MS = 5000
const HOUSEKEEPING_LOCK = '8107365744'

/** Makes partitions ahead, drops old ones, purges settled deliveries: one relay of a database at a time. */
export function startHousekeeping({ source, pool, isMember, log, retentionMs }: HousekeepingOptions): Housekeeping {
  const signal = new WakeSignal()
  let stopping = false

  async function round(): Promise<void> {
    const client = await pool.connect()
    try {
      const { rows } = await client.query<{ locked: boolean }>('select pg_try_advisory_lock($1) as locked', [
        HOUSEKEEPING_LOCK,
      ])
      if (rows[0]?.locked !== true) return
      try {
        await makePartitionsAhead(client, log)
        await dropOldPartitions(client, retentionMs, log)
        await purgeSettled(client, retentionMs)
      } finally {
        await client.query('select pg_advisory_unlock($1)', [HOUSEKEEPING_LOCK])
      }
    } finally {
      client.release()
    }
  }

  async function run(): Promise<void> {
    while (!stopping) {
      if (isMember()) {
        await round().catch((error: Error) => log.warn({ source, error: error.message }, 'housekeeping failed'))
      }
      await signal.wait(isMember() ? ROUND_MS : 200)
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
