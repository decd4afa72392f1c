import { readFile } from 'node:fs/promises'
import type { MysqlPoolLike } from './connection.ts'

/**
 * Makes the barrier table in the database of a MariaDB or MySQL pool, unless it is there. The statement is
 * `migrations/mariadb/0001-barrier.sql` of this package, for those who apply it with a tool of their own. (PostgreSQL
 * has the table from `postcommit migrate`.)
 *
 * @throws the error of the server, for example if the user may not create tables.
 * @example
 * ```ts
 * await createBarrierTable(mysql.createPool(process.env.DATABASE_URL))
 * ```
 */
export async function createBarrierTable(pool: MysqlPoolLike): Promise<void> {
  const statement = await readFile(new URL('../../../migrations/mariadb/0001-barrier.sql', import.meta.url), 'utf8')
  await (pool as { query(sql: string): Promise<unknown> }).query(statement)
}
