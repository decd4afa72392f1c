import { randomBytes } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { freePort } from '@postcommit/relay/dev'
import pg from 'pg'
import { compilePrograms } from './compile.ts'
import { createDatabases, type Databases } from './databases.ts'
import type { Books } from './ledger.ts'
import { POSTCOMMIT } from './postcommit.ts'
import { createProgram, type Environment, type Program } from './program.ts'

/** What a shop is opened with. */
export interface ShopOptions {
  /** For the logs, the lists of arrivals and the relays' configuration. */
  readonly folder: string
  /** A server with `track_commit_timestamp = on`; the shop makes its databases there. */
  readonly postgresUrl: string
  /** Of a server, or of several of a cluster with commas between them. Undefined: no mail service, and messages for NATS wait. */
  readonly natsUrl: string | undefined
  /** How many servers keep the stream, default 1. */
  readonly replicas?: number
  /** The address of NATS that a relay is given, by its name; default the direct one. */
  readonly relayNatsUrl?: (relay: string) => string
  readonly relays: number
  /** Of the relays, default 10000. */
  readonly leaseMs?: number
  /** The address that the order service is given for its database; default the direct one. */
  readonly through?: (url: string) => string | Promise<string>
}

/** The cast: every program is a process of its own. */
export interface Shop {
  /** Of the order service. */
  readonly url: string
  readonly orders: Program
  readonly stock: Program
  /** Undefined without NATS. */
  readonly mail: Program | undefined
  readonly relays: readonly Program[]
  readonly books: Books
  /** Starts the whole cast, the order service with more environment if there is something it is to do. */
  start(ordersEnv?: Environment): Promise<void>
  /** Ends the whole cast, gently, and the connections of the books. */
  close(): Promise<void>
}

/** The stream that the relays make for the orders. */
export const STREAM = 'SHOP'
const PRELOAD = 'preload.js'
const END_GRACE_MS = 2000

/** Makes the databases of a shop and casts its programs, which do not run yet. */
export async function openShop(options: ShopOptions): Promise<Shop> {
  const { natsUrl, through = (url) => url } = options
  const premises = await preparePremises(options)
  const { databases, arrivals, secret, orderPort, stockPort } = premises
  const orders = castService(premises, 'order-service', {
    DATABASE_URL: await through(databases.orders),
    PORT: String(orderPort),
  })
  const stock = castService(premises, 'stock-service', {
    DATABASE_URL: databases.stock,
    PORT: String(stockPort),
    SECRET: secret,
    ARRIVALS: arrivals.stock,
  })
  const mailEnv = { DATABASE_URL: databases.mail, STREAM, ARRIVALS: arrivals.mail }
  const mail =
    natsUrl === undefined ? undefined : castService(premises, 'mail-service', { ...mailEnv, NATS_URL: natsUrl })
  const relays = relayNames(options.relays).map((name) => castRelay(premises, name, options.relayNatsUrl?.(name)))
  const programs = [orders, stock, ...relays, ...(mail === undefined ? [] : [mail])]
  const books = {
    orders: openPool(databases.orders),
    stock: { pool: openPool(databases.stock), arrivals: arrivals.stock },
    mail: mail && { pool: openPool(databases.mail), arrivals: arrivals.mail },
  }
  return {
    url: `http://127.0.0.1:${orderPort}`,
    orders,
    stock,
    mail,
    relays,
    books,
    async start(ordersEnv = {}) {
      await Promise.all(programs.map((program) => program.start(program === orders ? ordersEnv : {})))
    },
    async close() {
      await Promise.all(programs.map((program) => endGently(program)))
      await Promise.all([books.orders.end(), books.stock.pool.end(), books.mail?.pool.end()])
    },
  }
}

/** What the relays of a shop are called. */
export function relayNames(relays: number): readonly string[] {
  return Array.from({ length: relays }, (_, index) => `relay-${index + 1}`)
}

/** What the programs are given. */
interface Premises {
  readonly folder: string
  readonly databases: Databases
  readonly orderPort: number
  readonly stockPort: number
  /** With which the relays sign their calls. */
  readonly secret: string
  readonly arrivals: { readonly stock: string; readonly mail: string }
  /** The relays' configuration file. */
  readonly config: string
  /** The folder with the services as JavaScript. */
  readonly compiled: string
}

async function preparePremises(options: ShopOptions): Promise<Premises> {
  const { folder } = options
  mkdirSync(folder, { recursive: true })
  const premises = {
    folder,
    databases: await createDatabases(options.postgresUrl),
    orderPort: await freePort(),
    stockPort: await freePort(),
    secret: `whsec_${randomBytes(32).toString('base64')}`,
    arrivals: { stock: join(folder, 'stock-arrivals.jsonl'), mail: join(folder, 'mail-arrivals.jsonl') },
    config: join(folder, 'postcommit.json'),
    compiled: await compilePrograms(),
  }
  writeFileSync(premises.config, JSON.stringify(relayConfig(options, premises), undefined, 2))
  return premises
}

function castService({ compiled, folder }: Premises, name: string, env: Environment): Program {
  return createProgram({
    name,
    file: join(compiled, `${name}.js`),
    preload: join(compiled, PRELOAD),
    env,
    ready: /^ready/,
    logFile: join(folder, `${name}.log`),
  })
}

/** The relays are the daemon as users run it: `postcommit run` with a configuration file. */
function castRelay({ compiled, folder, config }: Premises, name: string, natsUrl: string | undefined): Program {
  return createProgram({
    name,
    file: POSTCOMMIT,
    args: ['run', '--config', config, '--name', name],
    preload: join(compiled, PRELOAD),
    env: natsUrl === undefined ? {} : { POSTCOMMIT_NATS_SERVERS: natsUrl },
    ready: /every source is being served/,
    logFile: join(folder, `${name}.log`),
  })
}

function relayConfig(
  { natsUrl, replicas = 1, leaseMs = 10_000 }: ShopOptions,
  { databases, stockPort, secret }: Omit<Premises, 'config'>,
) {
  return {
    databases: { shop: { url: databases.orders } },
    ...(natsUrl !== undefined && {
      nats: {
        servers: natsUrl.split(','),
        streams: [{ name: STREAM, subjects: ['order.>'], create: true, replicas }],
      },
    }),
    destinations: {
      stock: {
        url: `http://127.0.0.1:${stockPort}`,
        secrets: [secret],
        timeoutMs: 2000,
        backOffBaseMs: 50,
        backOffCapMs: 1000,
      },
    },
    leaseMs,
    http: { enabled: false },
    log: { format: 'text' },
  }
}

async function endGently(program: Program): Promise<void> {
  const timer = setTimeout(() => void program.end('SIGKILL'), END_GRACE_MS)
  program.resume()
  await program.end('SIGTERM')
  clearTimeout(timer)
}

function openPool(url: string): pg.Pool {
  const pool = new pg.Pool({ connectionString: url, max: 4 })
  // Servers are killed under it; the next query opens a new connection or says what is wrong.
  pool.on('error', () => undefined)
  return pool
}
