import { randomUUID } from 'node:crypto'
import pg from 'pg'
import { inject } from 'vitest'
import { applyMigrations } from '../../relay/store/migrate.ts'

/** A database of its own for a test file or a single test. */
export interface TestDatabase {
  readonly name: string
  readonly url: string
  readonly pool: pg.Pool
  /** Closes the pool and removes the database, whoever else is still connected. */
  drop(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

/** What {@link database} accepts. */
export interface TestDatabaseOptions {
  /** The server, by the URL of any of its databases. Default: the one of the test run. */
  readonly server?: string
  /** Default true. False gives an empty database. */
  readonly migrated?: boolean
}

const TEMPLATE = 'postcommit_template'
const TEMPLATE_LOCK = 7_202_511

/** Makes a fresh database, with the schema `postcommit` in it, by copying a template: about 30 ms. */
export async function database({ server, migrated = true }: TestDatabaseOptions = {}): Promise<TestDatabase> {
  const serverUrl = server ?? inject('postgresUrl')
  const name = `test_${randomUUID().replaceAll('-', '').slice(0, 20)}`
  await withClient(inDatabase(serverUrl, 'postgres'), async (client) => {
    // Copying needs the template to be without other sessions, so that copies go one after the other.
    await client.query('select pg_advisory_lock($1)', [TEMPLATE_LOCK])
    if (migrated) await makeTemplate(client, serverUrl)
    await client.query(`create database ${name} ${migrated ? `template ${TEMPLATE}` : ''}`)
  })
  const url = inDatabase(serverUrl, name)
  const pool = new pg.Pool({ connectionString: url, max: 10 })
  // Without it, killing the server while a connection is idle would end the test run.
  pool.on('error', () => {})
  const drop = async () => {
    if (pool.ended) return
    await pool.end()
    const maintenance = inDatabase(serverUrl, 'postgres')
    try {
      await withClient(maintenance, (client) => client.query(`drop database if exists ${name} with (force)`))
    } catch (error) {
      // The test has killed the server and not started it again: the database goes with it.
      if (!(error instanceof Error && 'code' in error && error.code === 'ECONNREFUSED')) throw error
    }
  }
  return { name, url, pool, drop, [Symbol.asyncDispose]: drop }
}

async function makeTemplate(client: pg.Client, serverUrl: string): Promise<void> {
  const found = await client.query('select from pg_database where datname = $1', [TEMPLATE])
  if (found.rowCount === 1) return
  const unfinished = `${TEMPLATE}_new`
  await client.query(`drop database if exists ${unfinished} with (force)`)
  await client.query(`create database ${unfinished}`)
  await withClient(inDatabase(serverUrl, unfinished), (inTemplate) => applyMigrations(inTemplate, TEMPLATE))
  await client.query(`alter database ${unfinished} rename to ${TEMPLATE}`)
}

function inDatabase(serverUrl: string, name: string): string {
  const url = new URL(serverUrl)
  url.pathname = `/${name}`
  return url.href
}

async function withClient<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url })
  client.on('error', () => {})
  await client.connect()
  try {
    return await work(client)
  } finally {
    await client.end()
  }
}
