import { PostcommitError } from '../protocol/errors.ts'
import type { IsolationLevel } from '../store/database.ts'
import { type DatabaseLike, openDatabase, runInside, type TransactionOf } from '../store/open-database.ts'
import type { BarrierRows } from './barrier-rows.ts'
import { isInTransaction, isMysqlPool, type MysqlPoolLike, mysqlConnection, openMysqlPool } from './mysql/connection.ts'
import { mysqlRows } from './mysql/rows.ts'
import { postgresRows } from './postgres-rows.ts'

/** A Kysely instance (PostgreSQL dialect), a pg Pool, or a pool of `mysql2/promise`: recognised by shape. */
export type BarrierDatabase = DatabaseLike | MysqlPoolLike

/** What the work is handed: `Transaction<DB>` for `Kysely<DB>`, `PoolClient` for a pg Pool, `PoolConnection` for mysql2. */
export type BarrierTransactionOf<Db> = Db extends { getConnection(): Promise<infer Connection> }
  ? Connection
  : TransactionOf<Db>

/** A database that opens transactions with the barrier's rows in reach. */
export interface OpenedDatabase<Tx> {
  transaction<T>(
    work: (tx: Tx, rows: BarrierRows) => Promise<T>,
    options: { readonly waitMs: number; readonly isolationLevel?: IsolationLevel | undefined },
  ): Promise<T>
}

/** @throws `POSTCOMMIT_INVALID_OPTIONS` if it is none of the kinds that are known. */
export function openBarrierDatabase<Db extends BarrierDatabase>(
  db: Db,
  caller: string,
): OpenedDatabase<BarrierTransactionOf<Db>> {
  type Tx = BarrierTransactionOf<Db>
  if (isMysqlPool(db)) {
    const pool = openMysqlPool(db, caller)
    return {
      transaction: (work, { waitMs, isolationLevel }) =>
        pool.transaction((connection) => {
          const rows = mysqlRows(connection, waitMs)
          return { rows, done: work(connection as unknown as Tx, rows) }
        }, isolationLevel),
    }
  }
  const database = openDatabase(db, caller)
  return {
    transaction: (work, { waitMs, isolationLevel }) =>
      database.transaction((tx, run) => work(tx as unknown as Tx, postgresRows(run, waitMs)), {
        caller: 'barrier.call',
        isolationLevel,
      }),
  }
}

/**
 * The barrier's rows in a transaction that somebody else opened.
 * @throws `POSTCOMMIT_NOT_IN_TRANSACTION` if none is open there, `POSTCOMMIT_TX_ABORTED` if it has failed.
 */
export async function rowsInside(tx: object, waitMs: number): Promise<BarrierRows> {
  const connection = mysqlConnection(tx)
  if (connection === undefined) return postgresRows(await runInside(tx, 'barrier.run'), waitMs)
  if (!(await isInTransaction(connection))) throw new PostcommitError('POSTCOMMIT_NOT_IN_TRANSACTION')
  return mysqlRows(connection, waitMs)
}
