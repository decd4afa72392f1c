import { deleteBarrierRows } from '../store/delete-barrier-rows.ts'
import { openDatabase } from '../store/open-database.ts'
import type { BarrierDatabase } from './barrier-database.ts'
import { invalidOption } from './barrier-options.ts'
import { isMysqlPool, openMysqlPool } from './mysql/connection.ts'
import { deleteRows } from './mysql/delete-rows.ts'

/** What {@link purgeBarrier} deletes. */
export interface PurgeOptions {
  /**
   * Rows of branches that are older. The safe age is the longest time in which a call of a branch can still arrive:
   * the time until its transaction has ended, dead letters included, plus the longest time-out of a call. Younger, and
   * a late action takes effect after its compensation.
   */
  readonly olderThanMs: number
  /**
   * Rows of prepared messages and of gids chosen for `commit()` that are older; without it they stay. While a message is
   * undecided its row is the only proof that its transaction committed: without it the message would be given up.
   */
  readonly preparedOlderThanMs?: number
}

const BATCH = 5000

/**
 * Deletes old rows of the barrier table, in batches of one short transaction each, and resolves to how many. In Redis
 * the keys end by themselves.
 *
 * @throws `POSTCOMMIT_INVALID_OPTIONS`.
 */
export async function purgeBarrier(db: BarrierDatabase, options: PurgeOptions): Promise<number> {
  const { olderThanMs, preparedOlderThanMs } = options
  for (const [name, ms] of Object.entries(options)) {
    if (ms !== undefined && !(Number.isSafeInteger(ms) && ms > 0)) {
      throw invalidOption('purgeBarrier', `${name} is ${ms}, not a positive integer`)
    }
  }
  const remove = batchesOf(db)
  const branches = await remove('branch', olderThanMs)
  return branches + (preparedOlderThanMs === undefined ? 0 : await remove('prepared', preparedOlderThanMs))
}

function batchesOf(db: BarrierDatabase): (rows: 'branch' | 'prepared', ms: number) => Promise<number> {
  const removeBatch = isMysqlPool(db) ? removeFromMysql(db) : removeFromPostgres(db)
  return async (rows, ms) => {
    for (let removed = 0; ; ) {
      const batch = await removeBatch(rows, ms)
      removed += batch
      if (batch < BATCH) return removed
    }
  }
}

function removeFromPostgres(db: Parameters<typeof openDatabase>[0]) {
  const { run } = openDatabase(db, 'purgeBarrier')
  return async (rows: 'branch' | 'prepared', ms: number): Promise<number> => {
    const [row] = await run(deleteBarrierRows(rows, ms, BATCH))
    return Number(row?.['purged'] ?? 0)
  }
}

function removeFromMysql(db: Parameters<typeof openMysqlPool>[0]) {
  const database = openMysqlPool(db, 'purgeBarrier')
  return (rows: 'branch' | 'prepared', ms: number): Promise<number> =>
    database.transaction(async (connection) => {
      const { text, values } = deleteRows(rows, ms, BATCH)
      const [header] = await connection.query(text, values)
      return typeof header === 'object' && header !== null && 'affectedRows' in header ? Number(header.affectedRows) : 0
    })
}
