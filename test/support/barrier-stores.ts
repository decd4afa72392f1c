import { Kysely, PostgresDialect, sql } from 'kysely'
import type { PoolConnection } from 'mysql2/promise'
import type { Pool, PoolClient } from 'pg'
import type { Barrier, BarrierCallOptions, BarrierResult } from 'postcommit/barrier'
import { createBarrierTable } from 'postcommit/barrier'
import { database } from './database.ts'
import { mariadb } from './mariadb.ts'

/** A statement in a transaction; it returns the rows. */
export type Run = (statement: string) => Promise<readonly Record<string, unknown>[]>

/** A database with a barrier table and a table of effects, whichever client reaches it. */
export interface BarrierStore {
  /** The pool or the instance as users hand it to the barrier. */
  readonly db: Parameters<Barrier['call']>[0]
  /** `barrier.call` with the work in terms of {@link Run}. */
  call<T>(barrier: Barrier, work: (run: Run) => Promise<T> | T, options?: BarrierCallOptions): Promise<BarrierResult<T>>
  /** A transaction of the user's own, which commits unless `work` rejects. */
  transaction<T>(work: (tx: object, run: Run) => Promise<T>): Promise<T>
  /** A statement on its own. */
  readonly run: Run
  /** The rows of a gid: branch, op, id and reason. */
  rows(gid: string): Promise<readonly string[]>
  /** What has taken effect. */
  effects(): Promise<readonly string[]>
  close(): Promise<void>
}

const EFFECTS = 'create table effect (id varchar(64) not null)'

/** How each store is opened. */
export const SQL_STORES: readonly { readonly store: string; readonly open: () => Promise<BarrierStore> }[] = [
  { store: 'PostgreSQL through pg', open: openPg },
  { store: 'PostgreSQL through Kysely', open: openKysely },
  { store: 'MariaDB through mysql2', open: openMariadb },
]

const onPg =
  (client: Pick<PoolClient, 'query'> | Pool): Run =>
  async (statement) =>
    (await client.query<Record<string, unknown>>(statement)).rows

const onMysql =
  (connection: Pick<PoolConnection, 'query'>): Run =>
  async (statement) => {
    const [rows] = await connection.query(statement)
    return Array.isArray(rows) ? (rows as Record<string, unknown>[]) : []
  }

async function openPg(): Promise<BarrierStore> {
  const { pool, drop } = await database()
  await pool.query(EFFECTS)
  return {
    db: pool,
    call: (barrier, work, options) => barrier.call(pool, (tx) => work(onPg(tx)), options),
    async transaction(work) {
      const client = await pool.connect()
      try {
        await client.query('begin')
        const value = await work(client, onPg(client))
        await client.query('commit')
        return value
      } catch (error) {
        await client.query('rollback')
        throw error
      } finally {
        client.release()
      }
    },
    ...reading(onPg(pool), 'postcommit.barrier'),
    close: drop,
  }
}

async function openKysely(): Promise<BarrierStore> {
  const { pool, drop } = await database()
  await pool.query(EFFECTS)
  const db = new Kysely<Record<string, never>>({ dialect: new PostgresDialect({ pool }) })
  const on =
    (executor: Pick<typeof db, 'executeQuery' | 'getExecutor'>): Run =>
    async (statement) =>
      (await sql.raw<Record<string, unknown>>(statement).execute(executor)).rows
  return {
    db,
    call: (barrier, work, options) => barrier.call(db, (tx) => work(on(tx)), options),
    transaction: (work) => db.transaction().execute((tx) => work(tx, on(tx))),
    ...reading(onPg(pool), 'postcommit.barrier'),
    close: drop,
  }
}

async function openMariadb(): Promise<BarrierStore> {
  const { pool, drop } = await mariadb(undefined, 60)
  await createBarrierTable(pool)
  await pool.query(EFFECTS)
  return {
    db: pool,
    call: (barrier, work, options) => barrier.call(pool, (tx) => work(onMysql(tx)), options),
    async transaction(work) {
      const connection = await pool.getConnection()
      try {
        await connection.beginTransaction()
        const value = await work(connection, onMysql(connection))
        await connection.commit()
        return value
      } catch (error) {
        await connection.rollback()
        throw error
      } finally {
        connection.release()
      }
    },
    ...reading(onMysql(pool), 'postcommit_barrier'),
    close: drop,
  }
}

function reading(run: Run, table: string): Pick<BarrierStore, 'run' | 'rows' | 'effects'> {
  return {
    run,
    rows: async (gid) => {
      const rows = await run(
        `select branch, op, barrier_id, reason from ${table} where gid = '${gid}' order by 1, 2, 3`,
      )
      return rows.map((row) => `${row['branch']} ${row['op']} ${row['barrier_id']} ${row['reason']}`)
    },
    effects: async () => (await run('select id from effect order by id')).map(({ id }) => String(id)),
  }
}
