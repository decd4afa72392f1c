/** The cast: the front, the relay and their servers, each a process of its own that can be killed. */
import { mkdirSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { freePort, type ServerLifecycle, startRedis } from '@postcommit/relay/dev'
import pg from 'pg'
import { redisOutbox } from 'postcommit/redis-outbox'
import { createClient } from 'redis'
import { compilePrograms } from '../shop/compile.ts'
import { createProgram, type Environment, type Program } from '../shop/program.ts'
import { createDatabase } from './database.ts'
import { RECONNECT_MS, SALE, STOCK } from './sale.ts'

/** What a market is opened with. */
export interface MarketOptions {
  /** For logs, and for the data of Redis; Redis begins empty. */
  readonly folder: string
  readonly postgresUrl: string
  readonly units: number
  /** A PostgreSQL that may be killed too. */
  readonly postgres?: ServerLifecycle | undefined
}

/** The three numbers that must be one. */
export interface Numbers {
  /** Units that are gone from Redis. */
  readonly deducted: number
  /** Orders that stand in PostgreSQL. */
  readonly orders: number
  /** Units that the database knows to be sold. */
  readonly sold: number
}

/** Whoever can be killed. */
export type Victim = 'the shop' | 'the relay' | 'Redis' | 'PostgreSQL'

/** A market that is open. */
export interface Market {
  readonly url: string
  /** The database of the orders. */
  readonly pool: pg.Pool
  readonly victims: readonly Victim[]
  /** SIGKILL, and a new start. */
  kill(victim: Victim): Promise<void>
  numbers(): Promise<Numbers>
  close(): Promise<void>
}

const HERE = dirname(fileURLToPath(import.meta.url))

/** Makes the database anew and starts Redis, the relay and the shop. */
export async function openMarket({ folder, postgresUrl, units, postgres }: MarketOptions): Promise<Market> {
  mkdirSync(folder, { recursive: true })
  const dataDir = join(folder, 'redis')
  rmSync(dataDir, { recursive: true, force: true })
  const databaseUrl = await createDatabase(postgresUrl)
  // By default every write is synced before it is answered: what a click was told survives a crash.
  const redis = await startRedis({ dataDir })
  const port = await freePort()
  const shared = { DATABASE_URL: databaseUrl, REDIS_URL: redis.url }
  const shop = await program(folder, 'shop-service', { ...shared, PORT: String(port), UNITS: String(units) })
  const relay = await program(folder, 'relay-service', shared)
  const pool = new pg.Pool({ connectionString: databaseUrl, max: 2 })
  pool.on('error', () => undefined)
  const client = createClient({ url: redis.url, socket: { reconnectStrategy: RECONNECT_MS } })
  client.on('error', () => undefined)
  await client.connect()
  const sale = redisOutbox(client, { name: SALE })
  const kills: Readonly<Record<Victim, (() => Promise<void>) | undefined>> = {
    'the shop': () => restart(shop),
    'the relay': () => restart(relay),
    Redis: () => redis.kill().then(redis.start),
    PostgreSQL: postgres === undefined ? undefined : () => postgres.kill().then(postgres.start),
  }
  const close = async () => {
    await Promise.all([shop.end(), relay.end()])
    client.destroy()
    await pool.end()
    await redis.stop()
  }
  try {
    await relay.start()
    await shop.start()
  } catch (error) {
    await close()
    throw error
  }
  return {
    url: `http://127.0.0.1:${port}`,
    pool,
    victims: (Object.keys(kills) as Victim[]).filter((victim) => kills[victim] !== undefined),
    kill: async (victim) => await kills[victim]?.(),
    numbers: async () => ({ deducted: units - (await sale.left(STOCK)), ...(await readBooks(pool)) }),
    close,
  }
}

async function readBooks(pool: pg.Pool): Promise<{ readonly orders: number; readonly sold: number }> {
  const { rows } = await pool.query<{ orders: number; sold: number }>(
    `select (select count(*)::int from orders where status <> 'returned') as orders,
            (select sum(sold)::int from postcommit.redis_stock) as sold`,
  )
  return rows[0] ?? { orders: 0, sold: 0 }
}

async function program(folder: string, name: string, env: Environment): Promise<Program> {
  // Loaded first, so that it ends with this one.
  const preload = join(await compilePrograms(), 'preload.js')
  const file = join(await compilePrograms(HERE), `${name}.js`)
  return createProgram({ name, file, preload, env, ready: /^ready/, logFile: join(folder, `${name}.log`) })
}

async function restart(victim: Program): Promise<void> {
  await victim.end('SIGKILL')
  await victim.start()
}
