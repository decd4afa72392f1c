import { PostcommitError } from '../protocol/errors.ts'
import { parseGid } from '../protocol/gid.ts'
import type { Verdict } from '../protocol/verdict.ts'
import { openDatabase } from '../store/open-database.ts'
import { type BarrierDatabase, openBarrierDatabase, rowsInside } from './barrier-database.ts'
import { type BarrierOptions, checkOptions, invalidOption } from './barrier-options.ts'
import { inProgress } from './barrier-rows.ts'
import { isMysqlPool } from './mysql/connection.ts'
import { adjustPrepared, readPrepared } from './redis/adjust-prepared.ts'
import type { Adjusted, Adjustment } from './redis/adjustment.ts'
import { isRedisStore, type RedisStore } from './redis/redis-store.ts'
import {
  CLOSED,
  COMMIT,
  orInProgress,
  preparedRow,
  settleByRow,
  settlePreparedMessage,
  verdictOf,
  XID,
} from './settle-prepared-message.ts'

/** How {@link markPrepared} marks. */
export interface MarkOptions extends Pick<BarrierOptions, 'waitMs'> {
  /** SHA-256 of what the message stands for; the same gid with another is `POSTCOMMIT_GID_CONFLICT`. */
  readonly digest?: string
}

/** How {@link queryPrepared} asks. */
export interface QueryOptions extends Pick<BarrierOptions, 'waitMs'> {
  /** The xid of the local transaction where it is known (PostgreSQL): while it is open the answer does not wait. */
  readonly xid?: string
}

/**
 * Writes the row of a prepared message into the local transaction, whose commit it proves. It must be the first
 * statement of the transaction: what comes before it is not protected from a back-query that gives the message up.
 *
 * @returns whether the gid was committed before; then nothing is to be done again
 * @throws `POSTCOMMIT_GID_ABORTED` if a back-query came first: roll back. `POSTCOMMIT_GID_CONFLICT`,
 * `POSTCOMMIT_BRANCH_IN_PROGRESS`, `POSTCOMMIT_NOT_IN_TRANSACTION`, `POSTCOMMIT_TX_ABORTED`, `POSTCOMMIT_INVALID_GID`.
 */
export async function markPrepared(
  tx: object,
  gid: string,
  { digest, ...options }: MarkOptions = {},
): Promise<{ readonly duplicate: boolean }> {
  const { waitMs } = checkOptions('markPrepared', options)
  const key = preparedRow(parseGid(gid))
  const rows = await rowsInside(tx, waitMs)
  const added = await rows.add(key, [COMMIT], { reason: COMMIT, digest })
  if (added.has(COMMIT)) return { duplicate: false }
  const before = await rows.read(key, COMMIT)
  if (before === undefined) throw inProgress(key)
  if (before.reason !== COMMIT) throw new PostcommitError('POSTCOMMIT_GID_ABORTED', { gid }, { gid })
  if (digest !== undefined && before.digest !== undefined && before.digest !== digest) {
    throw new PostcommitError('POSTCOMMIT_GID_CONFLICT', { gid }, { gid })
  }
  return { duplicate: true }
}

/**
 * Does with Redis what a local transaction does elsewhere: adds to an amount and marks the message, in one script. The
 * mark is looked at first: a repetition after the last item was sold is a repetition, not a shortage.
 *
 * @throws `POSTCOMMIT_GID_ABORTED` if a back-query came first, `POSTCOMMIT_INVALID_GID`, `POSTCOMMIT_INVALID_OPTIONS`,
 * and what the client throws.
 */
export async function markPreparedAdjusting(
  store: RedisStore,
  gid: string,
  adjustment: Adjustment,
): Promise<{ readonly duplicate: true } | ({ readonly duplicate: false } & Adjusted)> {
  const parsed = parseGid(gid)
  const result = await adjustPrepared(store, parsed, adjustment)
  if (result.reason === CLOSED) throw new PostcommitError('POSTCOMMIT_GID_ABORTED', { gid }, { gid })
  return result.reason === undefined ? { duplicate: false, ...result.adjusted } : { duplicate: true }
}

/**
 * Answers a back-query: what became of the local transaction of a prepared message.
 *
 * It inserts the row itself. If that is new the local transaction has not got so far, and from now on cannot: its own
 * insert will find the row. A mere look would take a transaction that is still open for one that never was. While one
 * is open the insert waits for it, at most `waitMs`; then, and whenever the database says that others are in the way,
 * the verdict is `in_progress`. Any other failure is no verdict and rejects.
 *
 * @throws what the client throws, `POSTCOMMIT_INVALID_GID`, `POSTCOMMIT_INVALID_OPTIONS`.
 */
export async function queryPrepared(
  db: BarrierDatabase | RedisStore,
  gid: string,
  { xid, ...options }: QueryOptions = {},
): Promise<Verdict> {
  const { waitMs } = checkOptions('queryPrepared', options)
  const parsed = parseGid(gid)
  if (isRedisStore(db)) return verdictOf(await readPrepared(db, parsed, CLOSED))
  if (isMysqlPool(db)) {
    if (xid !== undefined) throw invalidOption('queryPrepared', 'an xid is one of PostgreSQL')
    const database = openBarrierDatabase(db, 'queryPrepared')
    // A snapshot from before the other transaction's end would not show what it has left.
    const options = { waitMs, isolationLevel: 'read committed' } as const
    return await orInProgress(database.transaction((_, rows) => settleByRow(rows, parsed), options))
  }
  if (xid !== undefined && !XID.test(xid)) throw invalidOption('queryPrepared', 'xid is not one of PostgreSQL')
  return await settlePreparedMessage(openDatabase(db, 'queryPrepared').run, parsed, { hint: xid, waitMs })
}

/**
 * The prepared messages of a store, for `backQueryHandler({ messages })`: where `outbox.commit()` does not write them
 * itself.
 * @example
 * ```ts
 * app.post('/back-query', backQueryHandler({ messages: preparedMessages(mysqlPool), secrets: [secret] }).node)
 * ```
 */
export function preparedMessages(db: BarrierDatabase | RedisStore, options: Pick<BarrierOptions, 'waitMs'> = {}) {
  checkOptions('preparedMessages', options)
  const hasXids = !isRedisStore(db) && !isMysqlPool(db)
  return {
    settlePreparedMessage: (gid: string, hint?: string): Promise<Verdict> =>
      queryPrepared(db, gid, hasXids && hint !== undefined && XID.test(hint) ? { ...options, xid: hint } : options),
  }
}
