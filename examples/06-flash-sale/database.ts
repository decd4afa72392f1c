/** Makes the database of the sale anew. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import pg from 'pg'
import { POSTCOMMIT } from '../shop/postcommit.ts'
import { ORDERS_TABLE } from './sale.ts'

const NAME = 'flash_sale'

/** Resolves to its address. */
export async function createDatabase(serverUrl: string): Promise<string> {
  await run(serverUrl, `drop database if exists ${NAME} with (force)`, `create database ${NAME}`)
  const url = new URL(serverUrl)
  url.pathname = `/${NAME}`
  await promisify(execFile)(process.execPath, [POSTCOMMIT, 'migrate', '--database-url', url.href])
  await run(url.href, ORDERS_TABLE)
  return url.href
}

async function run(url: string, ...statements: readonly string[]): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    for (const statement of statements) await client.query(statement)
  } finally {
    await client.end()
  }
}
