import { createPool, type ResultSetHeader } from 'mysql2/promise'
import pg from 'pg'
import type { Barrier, BarrierResult } from 'postcommit/barrier'

/** Adds to a balance; whether that was possible: not below zero, and not on a frozen account unless told so. */
export type Move = (name: string, by: number, options?: { readonly evenFrozen?: boolean }) => Promise<boolean>

/** The accounts of a bank, in PostgreSQL or in MariaDB. What a bank does with them is the same. */
export interface Accounts {
  /** Runs `work` in a transaction behind the barrier; whatever `work` throws leaves nothing. */
  once(barrier: Barrier, work: (move: Move) => Promise<void>): Promise<BarrierResult<void>>
  end(): Promise<void>
}

/** Opens the accounts at `postgres://…` or `mysql://…`. */
export function openAccounts(url: string): Accounts {
  return url.startsWith('mysql:') ? inMariadb(url) : inPostgres(url)
}

function inPostgres(connectionString: string): Accounts {
  const pool = new pg.Pool({ connectionString, max: 4 })
  pool.on('error', (error) => console.warn(`an idle connection was lost: ${error.message}`))
  const move =
    (tx: pg.PoolClient): Move =>
    async (name, by, { evenFrozen = false } = {}) => {
      const { rowCount } = await tx.query(
        `update account set balance = balance + $2
         where name = $1 and balance + $2 >= 0 and (not frozen or $3)`,
        [name, by, evenFrozen],
      )
      return rowCount === 1
    }
  return { once: (barrier, work) => barrier.call(pool, (tx) => work(move(tx))), end: () => pool.end() }
}

function inMariadb(uri: string): Accounts {
  const pool = createPool({ uri, connectionLimit: 4 })
  return {
    once: (barrier, work) =>
      barrier.call(pool, (tx) =>
        work(async (name, by, { evenFrozen = false } = {}) => {
          const [{ affectedRows }] = await tx.query<ResultSetHeader>(
            'update account set balance = balance + ? where name = ? and balance + ? >= 0 and (not frozen or ?)',
            [by, name, by, evenFrozen],
          )
          return affectedRows === 1
        }),
      ),
    end: () => pool.end(),
  }
}
