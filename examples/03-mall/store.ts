/** The database of a service, PostgreSQL or MariaDB, behind the one interface that the services are written for. */
import mysql from 'mysql2/promise'
import pg from 'pg'
import type { Barrier, BarrierResult } from 'postcommit/barrier'

/** What a statement gave, and how many rows it changed. */
export interface Answer {
  readonly rows: readonly Readonly<Record<string, unknown>>[]
  readonly changed: number
}

/** Runs a statement with `?` for its values. */
export type Query = (statement: string, values?: readonly unknown[]) => Promise<Answer>

/** A database that is open. */
export interface Store {
  /** A statement on its own. */
  readonly query: Query
  /** The one transaction of a branch: the barrier's row and what `work` does, or nothing. */
  once<T>(barrier: Barrier, work: (query: Query) => Promise<T>): Promise<BarrierResult<T>>
  close(): Promise<void>
}

/** Opens the database at a `postgres://` or a `mysql://` address. */
export function openStore(url: string): Store {
  return url.startsWith('mysql:') ? openMariadb(url) : openPostgres(url)
}

function openPostgres(url: string): Store {
  const pool = new pg.Pool({ connectionString: url, max: 10 })
  // Without these two, a database that restarts takes the service with it: pg throws what nobody listens for.
  pool.on('error', warn)
  pool.on('connect', (client) => client.on('error', warn))
  const on =
    (client: pg.Pool | pg.PoolClient): Query =>
    async (statement, values = []) => {
      const { rows, rowCount } = await client.query(numbered(statement), [...values])
      return { rows, changed: rowCount ?? 0 }
    }
  return {
    query: on(pool),
    once: (barrier, work) => barrier.call(pool, (tx) => work(on(tx))),
    close: () => pool.end(),
  }
}

function openMariadb(url: string): Store {
  const pool = mysql.createPool({ uri: url, connectionLimit: 10 })
  const on =
    (client: mysql.Pool | mysql.PoolConnection): Query =>
    async (statement, values = []) => {
      const [answer] = await client.query<mysql.RowDataPacket[] | mysql.ResultSetHeader>(statement, [...values])
      return Array.isArray(answer) ? { rows: answer, changed: 0 } : { rows: [], changed: answer.affectedRows }
    }
  return {
    query: on(pool),
    once: (barrier, work) => barrier.call(pool, (tx) => work(on(tx))),
    close: () => pool.end(),
  }
}

function numbered(statement: string): string {
  let n = 0
  return statement.replace(/\?/g, () => `$${++n}`)
}

function warn(error: Error): void {
  console.warn(`a connection was lost: ${error.message}`)
}
