import { randomUUID } from 'node:crypto'
import { createConnection, createPool, type Pool } from 'mysql2/promise'
import { inject } from 'vitest'

/** A MariaDB database of its own for a test file or a single test. */
export interface TestMariadb {
  readonly name: string
  readonly url: string
  readonly pool: Pool
  /** Closes the pool and removes the database. */
  drop(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

/** Makes a fresh, empty database on the MariaDB of the test run, or on the one given. */
export async function mariadb(server: string = inject('mariadbUrl'), connections = 10): Promise<TestMariadb> {
  const name = `test_${randomUUID().replaceAll('-', '').slice(0, 20)}`
  await onServer(server, `create database ${name} character set utf8mb4`)
  const url = new URL(server)
  url.pathname = `/${name}`
  const pool = createPool({ uri: url.href, connectionLimit: connections })
  let dropped = false
  const drop = async () => {
    if (dropped) return
    dropped = true
    await pool.end()
    await onServer(server, `drop database if exists ${name}`).catch((error: unknown) => {
      // The test has killed the server and not started it again: the database goes with it.
      if (!(error instanceof Error && 'code' in error && error.code === 'ECONNREFUSED')) throw error
    })
  }
  return { name, url: url.href, pool, drop, [Symbol.asyncDispose]: drop }
}

async function onServer(server: string, statement: string): Promise<void> {
  const connection = await createConnection(server)
  try {
    await connection.query(statement)
  } finally {
    await connection.end()
  }
}
