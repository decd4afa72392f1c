import { PostcommitError } from '../protocol/errors.ts'
import type { TransactionStatus } from '../protocol/transaction-state.ts'
import { deleteBarrierRows } from '../store/delete-barrier-rows.ts'
import { deleteCommits } from '../store/delete-commits.ts'
import { openDatabase } from '../store/open-database.ts'
import { selectOldCommits } from '../store/select-old-commits.ts'
import type { BarrierDatabase } from './barrier-database.ts'
import { invalidOption } from './barrier-options.ts'
import { isMysqlPool, openMysqlPool } from './mysql/connection.ts'
import { deleteRows } from './mysql/delete-rows.ts'
import * as mysql from './mysql/old-commits.ts'

/** Who knows which messages are decided: what `createRelayClient()` makes. */
export interface DecidingRelay {
  /** @throws `POSTCOMMIT_UNKNOWN_TRANSACTION`, and what keeps it from answering. */
  query(gid: string): Promise<{ readonly status: TransactionStatus }>
}

/** What {@link purgeBarrier} deletes. */
export interface PurgeOptions {
  /**
   * Rows of branches that are older. The safe age is the longest time in which a call of a branch can still arrive:
   * the time until its transaction has ended, dead letters included, plus the longest time-out of a call. Younger, and
   * a late action takes effect after its compensation.
   */
  readonly olderThanMs: number
  /**
   * Rows of prepared messages and of gids chosen for `commit()` that are older; without it they stay. The safe age is
   * the longest time in which a gid can be used again. Needs `relay`.
   */
  readonly preparedOlderThanMs?: number
  /**
   * The relay that asks about the messages. The row of a message that is not decided is the only proof that its
   * transaction committed: without it the message would be given up. No age is a reason to delete it, because a relay or
   * a service may be away for any time; so the relay is asked, and the row stays while the message is `prepared`.
   * `'none'`: no relay ever asks about rows of this database.
   */
  readonly relay?: DecidingRelay | 'none'
}

const BATCH = 5000
/** As many as one request to the relay takes. */
const ASKED = 500

/**
 * Deletes old rows of the barrier table, in batches of one short transaction each, and resolves to how many. In Redis
 * the keys end by themselves.
 * @throws `POSTCOMMIT_INVALID_OPTIONS`, and the error that keeps the relay from answering: the rows in question stay.
 * @example
 * ```ts
 * const DAY_MS = 24 * 3_600_000
 * await purgeBarrier(pool, { olderThanMs: 30 * DAY_MS, preparedOlderThanMs: 30 * DAY_MS, relay })
 * ```
 */
export async function purgeBarrier(db: BarrierDatabase, options: PurgeOptions): Promise<number> {
  const { olderThanMs, preparedOlderThanMs, relay } = options
  for (const [name, ms] of Object.entries({ olderThanMs, preparedOlderThanMs })) {
    if (ms !== undefined && !(Number.isSafeInteger(ms) && ms > 0)) {
      throw invalidOption('purgeBarrier', `${name} is ${ms}, not a positive integer`)
    }
  }
  if (preparedOlderThanMs !== undefined && relay === undefined) {
    throw invalidOption('purgeBarrier', 'preparedOlderThanMs needs the relay that asks about the messages, or none')
  }
  const rows = isMysqlPool(db) ? rowsOfMysql(db) : rowsOfPostgres(db)
  let purged = 0
  for (let batch = BATCH; batch === BATCH; purged += batch) batch = await rows.removeBranches(olderThanMs)
  if (preparedOlderThanMs === undefined || relay === undefined) return purged
  for (let after = ''; ; ) {
    const gids = await rows.oldCommits(preparedOlderThanMs, after)
    const last = gids.at(-1)
    if (last === undefined) return purged
    const decided = relay === 'none' ? gids : await decidedBy(relay, gids)
    if (decided.length > 0) purged += await rows.removeCommits(decided)
    after = last
  }
}

async function decidedBy(relay: DecidingRelay, gids: readonly string[]): Promise<readonly string[]> {
  const decided = await Promise.all(
    gids.map(async (gid) => {
      try {
        return (await relay.query(gid)).status !== 'prepared'
      } catch (error) {
        // Ended so long ago that the relay has forgotten it, or never announced.
        if (error instanceof PostcommitError && error.code === 'POSTCOMMIT_UNKNOWN_TRANSACTION') return true
        throw error
      }
    }),
  )
  return gids.filter((_, index) => decided[index] === true)
}

/** The rows of a database, a batch at a time. */
interface PurgedRows {
  removeBranches(olderThanMs: number): Promise<number>
  oldCommits(olderThanMs: number, after: string): Promise<readonly string[]>
  removeCommits(gids: readonly string[]): Promise<number>
}

function rowsOfPostgres(db: Parameters<typeof openDatabase>[0]): PurgedRows {
  const { run } = openDatabase(db, 'purgeBarrier')
  return {
    async removeBranches(ms) {
      const [row] = await run(deleteBarrierRows(ms, BATCH))
      return Number(row?.['purged'] ?? 0)
    },
    async oldCommits(ms, after) {
      return (await run(selectOldCommits(ms, after, ASKED))).map((row) => String(row['gid']))
    },
    async removeCommits(gids) {
      const [row] = await run(deleteCommits(gids))
      return Number(row?.['purged'] ?? 0)
    },
  }
}

function rowsOfMysql(db: Parameters<typeof openMysqlPool>[0]): PurgedRows {
  const database = openMysqlPool(db, 'purgeBarrier')
  const run = ({ text, values }: ReturnType<typeof deleteRows>): Promise<unknown> =>
    database.transaction((connection) => ({
      rows: { stand: async () => false },
      done: connection.query(text, values).then(([result]) => result),
    }))
  const affected = (header: unknown) =>
    typeof header === 'object' && header !== null && 'affectedRows' in header ? Number(header.affectedRows) : 0
  return {
    removeBranches: async (ms) => affected(await run(deleteRows(ms, BATCH))),
    async oldCommits(ms, after) {
      const rows = await run(mysql.selectOldCommits(ms, after, ASKED))
      return Array.isArray(rows) ? rows.map((row: { readonly gid: unknown }) => String(row.gid)) : []
    },
    removeCommits: async (gids) => affected(await run(mysql.deleteCommits(gids))),
  }
}
