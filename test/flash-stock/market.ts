import { randomBytes } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { freePort } from '@postcommit/relay/dev'
import pg from 'pg'
import { compilePrograms } from '../../examples/shop/compile.ts'
import { POSTCOMMIT } from '../../examples/shop/postcommit.ts'
import { createProgram, type Environment, type Program } from '../../examples/shop/program.ts'
import { applyMigrations } from '../../relay/store/migrate.ts'
import { builtPackages } from '../support/built-packages.ts'
import { TABLES } from './schema.ts'

/** How goods are sold: by a saga, or as the compared system does, or admitted by a counter in Redis. */
export type Sale = 'saga-sale' | 'lock-sale' | 'admitting-sale'

/** What a market is opened with. */
export interface MarketOptions {
  /** For logs and configuration. */
  readonly folder: string
  readonly postgresUrl: string
  readonly sale: Sale
  /** Of each of the goods. */
  readonly stock: readonly number[]
  /** More environment of the programs. */
  readonly env?: { readonly sale?: Environment; readonly orders?: Environment }
  /** The address under which the relay is told that a service is; default the direct one. */
  readonly through?: (url: string) => string | Promise<string>
}

/** Services, relay and databases of a sale; every program is a process of its own. */
export interface Market {
  /** Where purchases are posted. */
  readonly url: string
  readonly sale: Program
  readonly orderService: Program
  readonly stockService: Program
  readonly relay: Program
  readonly orders: pg.Pool
  readonly stock: pg.Pool
  readonly transactions: pg.Pool
  [Symbol.asyncDispose](): Promise<void>
}

const PROGRAMS = fileURLToPath(new URL('./programs/', import.meta.url))
const END_GRACE_MS = 3000

/** Makes the databases and starts the programs. */
export async function openMarket(options: MarketOptions): Promise<Market> {
  await builtPackages()
  mkdirSync(options.folder, { recursive: true })
  const databases = await createDatabases(options.postgresUrl)
  const ports = { sale: await freePort(), orders: await freePort(), stock: await freePort(), relay: await freePort() }
  const orders = openBooks(databases.urls.orders)
  const stock = openBooks(databases.urls.stock)
  const transactions = openBooks(databases.urls.transactions)
  await fill(orders, stock, options.stock)
  const { sale, orderService, stockService, relay } = await cast(options, databases.urls, ports)
  const programs = [sale, orderService, stockService, relay]
  const close = async () => {
    await Promise.all(programs.map(endGently))
    await Promise.all([orders.end(), stock.end(), transactions.end()])
    await databases.drop()
  }
  try {
    await Promise.all(programs.map((program) => program.start()))
  } catch (error) {
    await close()
    throw error
  }
  return {
    url: urlOf(ports.sale),
    sale,
    orderService,
    stockService,
    relay,
    orders,
    stock,
    transactions,
    [Symbol.asyncDispose]: close,
  }
}

type Of = 'orders' | 'stock' | 'transactions'
type Ports = Readonly<Record<'sale' | 'orders' | 'stock' | 'relay', number>>

const urlOf = (port: number) => `http://127.0.0.1:${port}`

async function cast(
  { folder, sale, env = {}, through = (url) => url }: MarketOptions,
  urls: Readonly<Record<Of, string>>,
  ports: Ports,
) {
  // It lets a program end with whoever started it.
  const preload = join(await compilePrograms(), 'preload.js')
  const programs = await compilePrograms(PROGRAMS)
  const service = (file: string, more: Environment) =>
    createProgram({
      name: file,
      file: join(programs, `${file}.js`),
      preload,
      env: more,
      ready: /^ready/,
      logFile: join(folder, `${file}.log`),
    })
  const config = join(folder, 'postcommit.json')
  const destination = async (port: number) => ({
    url: await through(urlOf(port)),
    timeoutMs: 5000,
    backOffBaseMs: 50,
    backOffCapMs: 1000,
  })
  const relayConfig = {
    databases: { market: { url: urls.transactions } },
    coordinator: { database: 'market' },
    destinations: {
      order: await destination(ports.orders),
      stock: await destination(ports.stock),
      sale: { url: urlOf(ports.sale) },
    },
    api: { port: ports.relay, auth: 'none' },
    http: { enabled: false },
    log: { format: 'text' },
  }
  writeFileSync(config, JSON.stringify(relayConfig, undefined, 2))
  return {
    sale: service(sale, {
      PORT: String(ports.sale),
      RELAY_URL: urlOf(ports.relay),
      ORDER_DATABASE_URL: urls.orders,
      STOCK_DATABASE_URL: urls.stock,
      ...env.sale,
    }),
    orderService: service('order-service', {
      PORT: String(ports.orders),
      DATABASE_URL: urls.orders,
      ...env.orders,
    }),
    stockService: service('stock-service', { PORT: String(ports.stock), DATABASE_URL: urls.stock }),
    relay: createProgram({
      name: 'relay',
      file: POSTCOMMIT,
      args: ['run', '--config', config, '--name', 'relay'],
      preload,
      env: {},
      ready: /every source is being served/,
      logFile: join(folder, 'relay.log'),
    }),
  }
}

async function createDatabases(serverUrl: string) {
  const suffix = randomBytes(6).toString('hex')
  const names = { orders: `orders_${suffix}`, stock: `stock_${suffix}`, transactions: `transactions_${suffix}` }
  const addressOf = (name: string) => {
    const url = new URL(serverUrl)
    url.pathname = `/${name}`
    return url.href
  }
  const urls = {
    orders: addressOf(names.orders),
    stock: addressOf(names.stock),
    transactions: addressOf(names.transactions),
  }
  await onServer(addressOf('postgres'), `create database ${names.transactions}`)
  const client = new pg.Client({ connectionString: urls.transactions })
  await client.connect()
  try {
    await applyMigrations(client, names.transactions)
  } finally {
    await client.end()
  }
  for (const name of [names.orders, names.stock]) {
    await onServer(addressOf('postgres'), `create database ${name} template ${names.transactions}`)
  }
  return {
    urls,
    async drop() {
      for (const name of Object.values(names)) {
        await onServer(addressOf('postgres'), `drop database if exists ${name} with (force)`)
      }
    },
  }
}

async function onServer(url: string, statement: string): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    await client.query(statement)
  } finally {
    await client.end()
  }
}

async function fill(orders: pg.Pool, stock: pg.Pool, amounts: readonly number[]): Promise<void> {
  await orders.query(TABLES.orders)
  await stock.query(TABLES.stock)
  await stock.query('insert into stock select n, amount from unnest($1::int[]) with ordinality as goods (amount, n)', [
    amounts,
  ])
}

async function endGently(program: Program): Promise<void> {
  const timer = setTimeout(() => void program.end('SIGKILL'), END_GRACE_MS)
  await program.end('SIGTERM')
  clearTimeout(timer)
}

function openBooks(url: string): pg.Pool {
  const pool = new pg.Pool({ connectionString: url, max: 4 })
  pool.on('error', () => undefined)
  return pool
}
