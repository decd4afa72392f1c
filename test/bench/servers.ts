import { randomUUID } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { jetstreamManager } from '@nats-io/jetstream'
import { connect, type NatsConnection } from '@nats-io/transport-node'
import {
  type NatsServer,
  type PostgresServer,
  type RedisServer,
  type ServerLifecycle,
  startNats,
  startPostgres,
  startRedis,
} from '@postcommit/relay/dev'
import pg from 'pg'
import { applyMigrations } from '../../relay/store/migrate.ts'

/** The servers that everything is measured on: private, on 127.0.0.1, and gone afterwards. */
export interface Servers {
  readonly postgres: { readonly url: string; readonly version: string }
  readonly nats: { readonly url: string; readonly version: string }
  readonly connection: NatsConnection
  /** A new database, with the schema `postcommit` in it unless `empty`; on `server`, an address, if it is given. */
  database(options?: { readonly empty?: boolean; readonly server?: string }): Promise<BenchDatabase>
  /** A new stream with file storage that takes `<prefix>.>`. */
  stream(): Promise<BenchStream>
  /** Another PostgreSQL, for what must not disturb the others. It sweeps and saves nothing by itself. */
  postgresAside(settings?: Readonly<Record<string, string>>): Promise<PostgresAside>
  /** A Redis for one case, which may kill it. */
  redisAside(settings: Readonly<Record<string, string>>): Promise<RedisServer>
  /** Another nats-server, for a case that kills it. */
  natsAside(): Promise<NatsServer>
  /** Ends them; a second call waits for the first. */
  [Symbol.asyncDispose](): Promise<void>
}

/** A PostgreSQL for one case. */
export type PostgresAside = Pick<PostgresServer, 'url' | 'stop'>

/** A database for one contender. */
export interface BenchDatabase {
  readonly url: string
  /** For preparing and counting, not for what is measured. */
  readonly pool: pg.Pool
  drop(): Promise<void>
}

/** A stream for one contender. */
export interface BenchStream {
  readonly name: string
  readonly prefix: string
  readonly subjects: readonly string[]
  /** How many messages it holds now. */
  count(): Promise<number>
  purge(): Promise<void>
  remove(): Promise<void>
}

/**
 * What differs from a server as it is installed, the same for every contender: enough connections, and room so that
 * checkpoints and evictions do not fall into one contender's round. Commits are synced.
 */
export const POSTGRES_SETTINGS = { max_connections: '300', shared_buffers: '1GB', max_wal_size: '8GB' } as const
/** The duplicate window of the streams: as long as the relay asks for by default. */
const DUPLICATE_WINDOW_NS = 10 * 60 * 1e9

const ASIDE_SETTINGS = { ...POSTGRES_SETTINGS, autovacuum: 'off', checkpoint_timeout: '1h' }

type Aside = Pick<Servers, 'postgresAside' | 'redisAside' | 'natsAside'>

/** Starts PostgreSQL and nats-server in a folder of their own, which is removed with them. */
export async function startServers(): Promise<Servers> {
  const folder = await mkdtemp(join(tmpdir(), 'postcommit-bench-'))
  const starting = [
    startPostgres({ dataDir: join(folder, 'postgres'), settings: POSTGRES_SETTINGS }),
    startNats({ storeDir: join(folder, 'nats') }),
  ] as const
  const aside: Promise<ServerLifecycle>[] = []
  const keep = <Server extends ServerLifecycle>(server: Promise<Server>): Promise<Server> => {
    aside.push(server)
    return server
  }
  const own = (name: string) => join(folder, `${name}-${aside.length}`)
  const startAside: Aside = {
    postgresAside: (settings = {}) =>
      keep(startPostgres({ dataDir: own('postgres'), settings: { ...ASIDE_SETTINGS, ...settings } })),
    redisAside: (settings) => keep(startRedis({ dataDir: own('redis'), settings })),
    natsAside: () => keep(startNats({ storeDir: own('nats') })),
  }
  const end = async () => {
    for (const started of await Promise.allSettled([...starting, ...aside])) {
      if (started.status === 'fulfilled') await started.value.stop()
    }
    await rm(folder, { recursive: true, force: true })
  }
  try {
    const [postgres, nats] = await Promise.all(starting)
    return use(postgres, nats, await connect({ servers: nats.url }), { startAside, end })
  } catch (error) {
    await end()
    throw error
  }
}

function use(
  postgres: PostgresServer,
  nats: NatsServer,
  connection: NatsConnection,
  { startAside, end }: { readonly startAside: Aside; readonly end: () => Promise<void> },
): Servers {
  const databases = new Set<BenchDatabase>()
  let ended: Promise<void> | undefined
  const endAll = async () => {
    await connection.close()
    // Not waited for: a case that failed may not have given back every client, and the server ends those.
    for (const { pool } of databases) if (!pool.ended) void pool.end()
    await end()
  }
  return {
    postgres,
    nats,
    connection,
    async database({ empty = false, server = postgres.url } = {}) {
      const name = unique()
      await withClient(server, (client) => client.query(`create database ${name}`))
      const url = inDatabase(server, name)
      if (!empty) await withClient(url, (client) => applyMigrations(client, 'bench'))
      const database = openDatabase(server, name, url)
      databases.add(database)
      return database
    },
    stream: () => openStream(connection),
    ...startAside,
    [Symbol.asyncDispose]: () => {
      ended ??= endAll()
      return ended
    },
  }
}

function openDatabase(serverUrl: string, name: string, url: string): BenchDatabase {
  const pool = new pg.Pool({ connectionString: url, max: 4 })
  // The server may end before a client that is idle, or one that was not given back.
  pool.on('error', () => undefined)
  pool.on('connect', (client) => client.on('error', () => undefined))
  return {
    url,
    pool,
    async drop() {
      if (pool.ended) return
      await pool.end()
      await withClient(serverUrl, (client) => client.query(`drop database ${name} with (force)`))
    },
  }
}

async function openStream(connection: NatsConnection): Promise<BenchStream> {
  const manager = await jetstreamManager(connection)
  const name = unique()
  const subjects = [`${name}.>`]
  await manager.streams.add({ name, subjects, duplicate_window: DUPLICATE_WINDOW_NS })
  return {
    name,
    prefix: name,
    subjects,
    count: async () => (await manager.streams.info(name)).state.messages,
    purge: async () => void (await manager.streams.purge(name)),
    remove: async () => void (await manager.streams.delete(name)),
  }
}

function unique(): string {
  return `bench_${randomUUID().replaceAll('-', '').slice(0, 12)}`
}

function inDatabase(serverUrl: string, name: string): string {
  const url = new URL(serverUrl)
  url.pathname = `/${name}`
  return url.href
}

async function withClient(url: string, work: (client: pg.Client) => Promise<unknown>): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    await work(client)
  } finally {
    await client.end()
  }
}
