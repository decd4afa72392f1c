/** Makes the databases of the mall anew: each service has one of its own, on PostgreSQL or on MariaDB. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import mysql from 'mysql2/promise'
import pg from 'pg'
import { createBarrierTable } from 'postcommit/barrier'
import { POSTCOMMIT } from '../shop/postcommit.ts'

/** The addresses of the databases; the relay's is always PostgreSQL. */
export interface Addresses {
  readonly relay: string
  readonly orders: string
  readonly products: string
}

const ON_POSTGRES = {
  orders: `create table orders (
    id integer generated always as identity primary key,
    gid varchar(64) not null unique,
    uid integer not null, pid integer not null, amount integer not null,
    status smallint not null,
    create_time timestamptz(6) not null default clock_timestamp(),
    update_time timestamptz(6) not null default clock_timestamp()
  )`,
  products: `create table product (
    id integer primary key,
    stock integer not null check (stock >= 0),
    update_time timestamptz(6) not null default clock_timestamp()
  )`,
} as const

const ON_MARIADB = {
  orders: `create table orders (
    id integer auto_increment primary key,
    gid varchar(64) character set ascii collate ascii_bin not null unique,
    uid integer not null, pid integer not null, amount integer not null,
    status tinyint not null,
    create_time timestamp(6) not null default current_timestamp(6),
    update_time timestamp(6) not null default current_timestamp(6)
  )`,
  products: `create table product (
    id integer primary key,
    stock integer unsigned not null,
    update_time timestamp(6) not null default current_timestamp(6)
  )`,
} as const

/**
 * Makes them on the servers that the two addresses lead to.
 * @param mariadbUrl - where the services keep their data; undefined: in PostgreSQL as well
 */
export async function createDatabases(
  postgresUrl: string,
  mariadbUrl: string | undefined,
  prefix: string,
): Promise<Addresses> {
  const relay = withName(postgresUrl, `${prefix}_relay`)
  const base = mariadbUrl ?? postgresUrl
  const orders = withName(base, `${prefix}_orders`)
  const products = withName(base, `${prefix}_products`)
  await onPostgres(
    postgresUrl,
    `drop database if exists ${nameOf(relay)} with (force)`,
    `create database ${nameOf(relay)}`,
  )
  await promisify(execFile)(process.execPath, [POSTCOMMIT, 'migrate', '--database-url', relay])
  for (const [url, service] of [
    [orders, 'orders'],
    [products, 'products'],
  ] as const) {
    await (mariadbUrl === undefined ? createOnPostgres(relay, url, service) : createOnMariadb(mariadbUrl, url, service))
  }
  return { relay, orders, products }
}

async function createOnPostgres(template: string, url: string, service: keyof typeof ON_POSTGRES): Promise<void> {
  const name = nameOf(url)
  // Copying the relay's, which is empty yet, is faster than another migration; the barrier's table is in it.
  const create = `create database ${name} template ${nameOf(template)}`
  await onPostgres(withName(url, 'postgres'), `drop database if exists ${name} with (force)`, create)
  await onPostgres(url, ON_POSTGRES[service])
}

async function createOnMariadb(server: string, url: string, service: keyof typeof ON_MARIADB): Promise<void> {
  const name = nameOf(url)
  await onMariadb(server, (pool) => pool.query(`drop database if exists ${name}`))
  await onMariadb(server, (pool) => pool.query(`create database ${name} character set utf8mb4`))
  await onMariadb(url, async (pool) => {
    await createBarrierTable(pool)
    await pool.query(ON_MARIADB[service])
  })
}

async function onPostgres(url: string, ...statements: readonly string[]): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    for (const statement of statements) await client.query(statement)
  } finally {
    await client.end()
  }
}

async function onMariadb(url: string, work: (pool: mysql.Pool) => Promise<unknown>): Promise<void> {
  const pool = mysql.createPool({ uri: url, connectionLimit: 1 })
  try {
    await work(pool)
  } finally {
    await pool.end()
  }
}

function nameOf(url: string): string {
  return new URL(url).pathname.slice(1)
}

function withName(url: string, name: string): string {
  const other = new URL(url)
  other.pathname = `/${name}`
  return other.href
}
