import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { createPool, type Pool, type RowDataPacket } from 'mysql2/promise'
import pg from 'pg'
import { createBarrierTable } from 'postcommit/barrier'
import { POSTCOMMIT } from '../shop/postcommit.ts'

/** Where the relay and the two banks keep their data. */
export interface Addresses {
  readonly relay: string
  readonly north: string
  readonly south: string
}

/** What is in the accounts of both banks, read beside the banks. */
export interface Vault {
  balances(): Promise<Readonly<Record<string, number>>>
  freeze(name: string, frozen: boolean): Promise<void>
  end(): Promise<void>
}

/** A check of the database: no balance can ever be below zero, whatever a bank does. */
const ACCOUNT = `create table account (
  name varchar(50) primary key, balance integer not null check (balance >= 0), frozen boolean not null default false
)`
const OPENING = 'insert into account (name, balance) values '

/** Makes the databases anew: those of the relay and the north in PostgreSQL, that of the south where it is told. */
export async function createDatabases(postgresUrl: string, mariadbUrl: string | undefined): Promise<Addresses> {
  const relay = await inPostgres(postgresUrl, 'transfer_relay')
  const north = await inPostgres(postgresUrl, 'transfer_north', `${OPENING} ('alice', 100)`)
  const south =
    mariadbUrl === undefined
      ? await inPostgres(postgresUrl, 'transfer_south', `${OPENING} ('bob', 100)`)
      : await inMariadb(mariadbUrl, 'transfer_south', `${OPENING} ('bob', 100)`)
  return { relay, north, south }
}

async function inPostgres(server: string, name: string, opening?: string): Promise<string> {
  const url = named(server, name)
  await runInPostgres(server, `drop database if exists ${name} with (force)`, `create database ${name}`)
  await promisify(execFile)(process.execPath, [POSTCOMMIT, 'migrate', '--database-url', url])
  if (opening !== undefined) await runInPostgres(url, ACCOUNT, opening)
  return url
}

async function inMariadb(server: string, name: string, opening: string): Promise<string> {
  const url = named(server, name)
  const admin = createPool(server)
  await admin.query(`drop database if exists ${name}`)
  await admin.query(`create database ${name} character set utf8mb4`)
  await admin.end()
  const pool = createPool(url)
  await createBarrierTable(pool)
  for (const statement of [ACCOUNT, opening]) await pool.query(statement)
  await pool.end()
  return url
}

/** Opens both banks' accounts. */
export function openVault({ north, south }: Addresses): Vault {
  const opened = [north, south].map((url) => (url.startsWith('mysql:') ? mariadbAccounts(url) : postgresAccounts(url)))
  return {
    balances: async () => Object.assign({}, ...(await Promise.all(opened.map(({ balances }) => balances())))),
    freeze: async (name, frozen) => void (await Promise.all(opened.map(({ freeze }) => freeze(name, frozen)))),
    end: async () => void (await Promise.all(opened.map(({ end }) => end()))),
  }
}

interface Account {
  readonly name: string
  readonly balance: number
}

const byName = (rows: readonly Account[]) => Object.fromEntries(rows.map(({ name, balance }) => [name, balance]))

function postgresAccounts(connectionString: string): Vault {
  const pool = new pg.Pool({ connectionString, max: 1 })
  return {
    balances: async () => byName((await pool.query<Account>('select name, balance from account')).rows),
    freeze: async (name, frozen) => {
      await pool.query('update account set frozen = $2 where name = $1', [name, frozen])
    },
    end: () => pool.end(),
  }
}

function mariadbAccounts(uri: string): Vault {
  const pool: Pool = createPool({ uri, connectionLimit: 1 })
  return {
    async balances() {
      const [rows] = await pool.query<(Account & RowDataPacket)[]>('select name, balance from account')
      return byName(rows)
    },
    freeze: async (name, frozen) => {
      await pool.query('update account set frozen = ? where name = ?', [frozen, name])
    },
    end: () => pool.end(),
  }
}

function named(server: string, name: string): string {
  const url = new URL(server)
  url.pathname = `/${name}`
  return url.href
}

async function runInPostgres(url: string, ...statements: readonly string[]): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    for (const statement of statements) await client.query(statement)
  } finally {
    await client.end()
  }
}
