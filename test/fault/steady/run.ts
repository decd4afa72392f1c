import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { queryObjects } from 'node:v8'
import { jetstreamManager } from '@nats-io/jetstream'
import { connect } from '@nats-io/transport-node'
import { createRelay, type Relay } from '@postcommit/relay'
import { type NatsServer, type PostgresServer, startNats, startPostgres } from '@postcommit/relay/dev'
import pg from 'pg'
import { pino } from 'pino'
import { createInbox, createOutbox } from 'postcommit'
import { subscribe } from 'postcommit/nats'
import { applyMigrations } from '../../../relay/store/migrate.ts'
import { postgresSource } from '../../support/postgres-source.ts'
import type { Figures } from './figures.ts'

/** How steadily. */
export interface SteadyOptions {
  readonly seconds: number
  readonly commitsPerSecond: number
  readonly log?: (line: string) => void
}

/** What was done, and what was seen meanwhile. */
export interface SteadyRun {
  readonly looks: readonly Figures[]
  readonly commits: number
  readonly handled: number
  readonly called: number
}

const LOOKS = 30
const PARTS_OF_RETENTION = 12
const RETENTION_MIN_MS = 4000
const STREAM = 'steady'

/**
 * Does the same at a steady rate, with a retention so short that as much is purged as is written: a service that commits,
 * a relay and a subscriber with an inbox in this process, and servers of its own.
 */
export async function runSteady(options: SteadyOptions): Promise<SteadyRun> {
  const folder = await mkdtemp(join(tmpdir(), 'postcommit-steady-'))
  const postgres = await startPostgres({ dataDir: join(folder, 'postgres'), binaries: postgresSource() })
  const nats = await startNats({ storeDir: join(folder, 'nats') })
  try {
    return await runWith({ postgres, nats }, options)
  } finally {
    await Promise.all([postgres.stop(), nats.stop()])
    await rm(folder, { recursive: true, force: true })
  }
}

interface Servers {
  readonly postgres: PostgresServer
  readonly nats: NatsServer
}

async function runWith(
  { postgres, nats }: Servers,
  { seconds, commitsPerSecond, log = () => undefined }: SteadyOptions,
): Promise<SteadyRun> {
  const retentionMs = Math.max(RETENTION_MIN_MS, Math.round((seconds * 1000) / PARTS_OF_RETENTION))
  const pool = new pg.Pool({ connectionString: postgres.url })
  pool.on('error', () => undefined)
  const connection = await connect({ servers: nats.url })
  await prepare(pool, Math.ceil((commitsPerSecond * retentionMs) / 1000))
  const streams = await jetstreamManager(connection)
  await streams.streams.add({
    name: STREAM,
    subjects: [`${STREAM}.>`],
    max_age: retentionMs * 1e6,
    duplicate_window: retentionMs * 1e6,
  })
  let called = 0
  let handled = 0
  const relay = createRelay({
    db: postgres.url,
    nats: { connection: { servers: nats.url } },
    handlers: {
      counter: async () => {
        called += 1
      },
    },
    retentionMs,
    log: pino({ level: 'warn' }),
  })
  await relay.start()
  const inbox = createInbox({ db: pool, consumer: 'steady' })
  const subscription = await subscribe({
    connection,
    stream: STREAM,
    durable: 'steady',
    inbox,
    handle: () => {
      handled += 1
    },
  })
  let stopping = false
  const purging = repeat(
    () => stopping,
    retentionMs / 4,
    () => inbox.purge({ olderThanMs: retentionMs }),
  )
  const looks: Figures[] = []
  const looking = repeat(
    () => stopping,
    (seconds * 1000) / LOOKS,
    async () => {
      looks.push(await look(pool, relay, [join(postgres.dataDir, 'base'), nats.storeDir]))
      log(JSON.stringify(looks.at(-1)))
    },
  )
  const commits = await commitSteadily(pool, seconds, commitsPerSecond)
  stopping = true
  await Promise.all([purging, looking])
  await subscription.stop()
  await relay.stop()
  await connection.close()
  await pool.end()
  return { looks, commits, handled, called }
}

/** The schema, with partitions that are full within a retention. */
async function prepare(pool: pg.Pool, partitionSize: number): Promise<void> {
  const client = await pool.connect()
  try {
    await applyMigrations(client, 'main')
    await client.query('drop table postcommit.outbox_p0, postcommit.outbox_p1')
    await client.query('update postcommit.installation set partition_size = $1', [partitionSize])
  } finally {
    client.release()
  }
}

async function commitSteadily(pool: pg.Pool, seconds: number, perSecond: number): Promise<number> {
  const outbox = createOutbox({ db: pool })
  const startedAt = performance.now()
  let commits = 0
  while (performance.now() - startedAt < seconds * 1000) {
    const due = Math.floor(((performance.now() - startedAt) / 1000) * perSecond)
    if (commits >= due) await sleep(5)
    else {
      await outbox.commit((_, message) => {
        message.publish(`${STREAM}.a`, { n: commits }, { key: `k${commits % 20}` })
        message.call('counter', '/count', { n: commits })
      })
      commits += 1
    }
  }
  return commits
}

async function look(pool: pg.Pool, relay: Relay, folders: readonly string[]): Promise<Figures> {
  const { rows } = await pool.query<{ name: string }>(
    `select oid::regclass::text as name from pg_class
     where relnamespace = 'postcommit'::regnamespace and relkind in ('r', 'p') and not relispartition`,
  )
  const counts = await pool.query<{ rows: number }>(
    `select (${rows.map(({ name }) => `(select count(*) from ${name})`).join(' + ')})::int as rows`,
  )
  await relay.refreshMetrics()
  const lines = (await relay.metrics.registry.metrics()).split('\n')
  const files = await Promise.all(folders.map(countFiles))
  return {
    // Collects what is garbage before it counts.
    promises: queryObjects(Promise, { format: 'count' }),
    heap: process.memoryUsage().heapUsed,
    rows: counts.rows[0]?.rows ?? 0,
    files: files.reduce((sum, count) => sum + count, 0),
    series: lines.filter((line) => line.startsWith('postcommit_')).length,
  }
}

async function countFiles(folder: string): Promise<number> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  return entries.filter((entry) => entry.isFile()).length
}

async function repeat(isOver: () => boolean, everyMs: number, work: () => Promise<unknown>): Promise<void> {
  while (!isOver()) {
    await sleep(everyMs)
    await work()
  }
}
