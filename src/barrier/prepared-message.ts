import { PostcommitError } from '../protocol/errors.ts'
import { type Gid, parseGid } from '../protocol/gid.ts'
import { Verdict } from '../protocol/verdict.ts'
import { sqlState } from '../store/database-error.ts'
import { openDatabase } from '../store/open-database.ts'
import { selectCommitStatus } from '../store/select-commit-status.ts'
import { type BarrierDatabase, openBarrierDatabase, rowsInside } from './barrier-database.ts'
import { type BarrierOptions, checkOptions, invalidOption } from './barrier-options.ts'
import { type BarrierRows, inProgress, type RowKey } from './barrier-rows.ts'
import { isMysqlPool } from './mysql/connection.ts'
import { adjustPrepared, readPrepared } from './redis/adjust-prepared.ts'
import type { Adjusted, Adjustment } from './redis/adjustment.ts'
import { isRedisStore, type RedisStore } from './redis/redis-store.ts'

/** Where the row is: the same that `outbox.commit()` claims a gid with, so that there is one decision for a gid. */
const place = (gid: Gid): RowKey => ({ gid, branch: '', id: '' })
const OP = 'commit'
/** Who wrote the row: the local transaction, or a back-query that came before it. */
const COMMITTED = OP
const CLOSED = 'rollback'

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
  const key = place(parseGid(gid))
  const rows = await rowsInside(tx, waitMs)
  const added = await rows.add(key, [OP], { reason: COMMITTED, digest })
  if (added.has(OP)) return { duplicate: false }
  const before = await rows.read(key, OP)
  if (before === undefined) throw inProgress(key)
  if (before.reason !== COMMITTED) throw new PostcommitError('POSTCOMMIT_GID_ABORTED', { gid }, { gid })
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
  if (xid !== undefined && (await isOpen(db, xid))) return Verdict.InProgress
  try {
    const reason = await openBarrierDatabase(db, 'queryPrepared').transaction((_, rows) => close(rows, parsed), {
      waitMs,
      // A snapshot from before the other transaction's end would not show what it has left.
      isolationLevel: 'read committed',
    })
    return verdictOf(reason)
  } catch (error) {
    if (error instanceof PostcommitError && error.code === 'POSTCOMMIT_BRANCH_IN_PROGRESS') return Verdict.InProgress
    throw error
  }
}

/** Closes the door on the local transaction unless it has come through; who wrote the row. */
async function close(rows: BarrierRows, gid: Gid): Promise<string | undefined> {
  const added = await rows.add(place(gid), [OP], { reason: CLOSED, digest: undefined })
  return added.has(OP) ? CLOSED : (await rows.read(place(gid), OP))?.reason
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

function verdictOf(reason: string | undefined): Verdict {
  switch (reason) {
    case COMMITTED:
      return Verdict.Committed
    case CLOSED:
      return Verdict.Aborted
    default:
      return Verdict.InProgress
  }
}

const XID = /^\d{1,20}$/
const INVALID_PARAMETER = '22023'

/** Whether the commit log says that the transaction is open; reads no table and waits for nobody. */
async function isOpen(db: BarrierDatabase, xid: string): Promise<boolean> {
  if (isMysqlPool(db) || !XID.test(xid)) throw invalidOption('queryPrepared', 'xid is not one of PostgreSQL')
  const [row] = await openDatabase(db, 'queryPrepared')
    .run(selectCommitStatus(xid))
    .catch((error: unknown) => {
      // The server has not given it out: it crashed before anything of the transaction was on disk.
      if (sqlState(error) === INVALID_PARAMETER) return []
      throw error
    })
  return row?.['status'] === 'in progress'
}
