import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import pg from 'pg'
import { POSTCOMMIT } from './postcommit.ts'
import { TABLES } from './schema.ts'

/** The services, each with a database of its own. */
export type Service = keyof typeof TABLES

/** The addresses of the databases. */
export type Databases = Readonly<Record<Service, string>>

/** Makes the databases of the shop anew, each with the schema `postcommit` and the tables of its service. */
export async function createDatabases(serverUrl: string): Promise<Databases> {
  const server = new pg.Client({ connectionString: serverUrl })
  // What goes wrong is reported by the statement that it goes wrong for.
  server.on('error', () => undefined)
  await server.connect()
  try {
    for (const service of ['orders', 'stock', 'mail'])
      await server.query(`drop database if exists ${service} with (force)`)
    await server.query('create database orders')
    const urls = { orders: addressOf('orders'), stock: addressOf('stock'), mail: addressOf('mail') }
    await promisify(execFile)(process.execPath, [POSTCOMMIT, 'migrate', '--database-url', urls.orders])
    // Copying is faster than two more migrations.
    for (const service of ['stock', 'mail']) await server.query(`create database ${service} template orders`)
    await Promise.all([
      runOnce(urls.orders, TABLES.orders),
      runOnce(urls.stock, TABLES.stock),
      runOnce(urls.mail, TABLES.mail),
    ])
    return urls
  } finally {
    await server.end()
  }

  function addressOf(database: Service): string {
    const url = new URL(serverUrl)
    url.pathname = `/${database}`
    return url.href
  }
}

async function runOnce(url: string, sql: string): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    await client.query(sql)
  } finally {
    await client.end()
  }
}
