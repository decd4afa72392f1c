import { PostcommitError } from '../../protocol/errors.ts'
import { CommitFailure, type IsolationLevel } from '../../store/database.ts'
import { transactionEnded } from '../../store/transaction-identity.ts'

/** What is used of a pool of `mysql2/promise`. */
export interface MysqlPoolLike {
  getConnection(): Promise<object>
  query(...query: never[]): Promise<unknown>
}

/** A connection of `mysql2/promise`. */
export interface MysqlConnection {
  query(sql: string, values?: readonly unknown[]): Promise<readonly [unknown, unknown]>
  beginTransaction(): Promise<void>
  commit(): Promise<void>
  rollback(): Promise<void>
  release(): void
  destroy(): void
}

/** Whether `db` is a pool of `mysql2/promise`, or one of `mysql2`, which is refused by {@link openMysqlPool}. */
export function isMysqlPool(db: object): db is MysqlPoolLike {
  return 'getConnection' in db && 'query' in db
}

/**
 * The connection that a transaction of the user's runs on, or `undefined` if it is not one of mysql2. Connections with
 * callbacks have a promised side, which is taken.
 */
export function mysqlConnection(tx: object): MysqlConnection | undefined {
  if (!('beginTransaction' in tx && 'query' in tx)) return undefined
  return 'promise' in tx && typeof tx.promise === 'function'
    ? (tx.promise() as MysqlConnection)
    : (tx as MysqlConnection)
}

/** What was written first in a transaction. */
export interface Standing {
  /** Whether it is there when the transaction has ended. */
  stand(): Promise<boolean>
}

/** A pool that opens transactions of its own. */
export interface MysqlDatabase {
  transaction<T>(
    work: (connection: MysqlConnection) => { readonly rows: Standing; readonly done: Promise<T> },
    isolationLevel?: IsolationLevel,
  ): Promise<T>
}

/** @throws `POSTCOMMIT_INVALID_OPTIONS` for a pool with callbacks, whose connections cannot be handed on as promised. */
export function openMysqlPool(pool: MysqlPoolLike, caller: string): MysqlDatabase {
  if ('promise' in pool) {
    const reason = 'db is a pool of mysql2; give it the promised one: pool.promise(), or createPool of mysql2/promise'
    throw new PostcommitError('POSTCOMMIT_INVALID_OPTIONS', { function: caller, reason })
  }
  return {
    async transaction(work, isolationLevel) {
      const connection = (await pool.getConnection()) as MysqlConnection
      let broken = true
      try {
        // For the next transaction alone.
        if (isolationLevel !== undefined) await connection.query(`set transaction isolation level ${isolationLevel}`)
        await connection.beginTransaction()
        const begun = await identify(connection)
        const { rows, done } = work(connection)
        const value = await done
        await commit(connection, begun, rows)
        broken = false
        return value
      } catch (error) {
        const isOver = error instanceof CommitFailure && !error.rolledBack
        broken = isOver || (await connection.rollback().then(never, always))
        throw error
      } finally {
        if (broken) connection.destroy()
        else connection.release()
      }
    },
  }
}

const NO_SUCH_SAVEPOINT = 1305
let drawn = 0

/**
 * Sets a savepoint when the transaction begins: it is gone when that has ended, whatever came after it, and no other
 * transaction has one of its name.
 */
async function identify(connection: MysqlConnection): Promise<string> {
  drawn += 1
  const begun = `postcommit_begun_${drawn}`
  await connection.query(`savepoint ${begun}`)
  return begun
}

/**
 * A deadlock rolls the whole transaction back, DDL commits it, and so does a statement of the work; the connection goes on
 * outside of one, or without autocommit in the next. What followed stands by itself, without the rows that guard it, and
 * COMMIT would not say so. A status would be that of the next transaction as well; the savepoint is not there.
 */
async function commit(connection: MysqlConnection, begun: string, rows: Standing): Promise<void> {
  await connection.query(`release savepoint ${begun}`).catch(async (cause: unknown) => {
    if (errorNumber(cause) !== NO_SUCH_SAVEPOINT) throw cause
    await connection.rollback()
    if (await rows.stand()) throw transactionEnded('barrier.call', 'committed', cause)
    throw new PostcommitError('POSTCOMMIT_TX_ABORTED', {}, { cause })
  })
  await connection.commit().catch((cause: unknown) => {
    throw errorNumber(cause) === undefined ? new CommitFailure(false, cause) : cause
  })
}

const IN_TRANSACTION = 1
const AUTOCOMMIT = 2

/** Whether a transaction is open, by what the server says of itself with every answer. */
export async function isInTransaction(connection: MysqlConnection): Promise<boolean> {
  const [header] = await connection.query('do 0')
  const status = typeof header === 'object' && header !== null && 'serverStatus' in header ? header.serverStatus : 0
  // Without autocommit the next statement opens one.
  return typeof status === 'number' && ((status & IN_TRANSACTION) !== 0 || (status & AUTOCOMMIT) === 0)
}

/** The number of an error that the server itself sent, or `undefined` for any other error. */
export function errorNumber(error: unknown): number | undefined {
  if (typeof error !== 'object' || error === null || !('sqlState' in error && 'errno' in error)) return undefined
  return typeof error.errno === 'number' && typeof error.sqlState === 'string' ? error.errno : undefined
}

const never = () => false
const always = () => true
