/** The servers of the example, and the relay between them. */
import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { createRelay } from '@postcommit/relay'
import { startNats, startPostgres, startRedis } from '@postcommit/relay/dev'
import pg from 'pg'
import { pino } from 'pino'

export interface Servers {
  /** The command `postcommit`, run with the loader of this process. */
  postcommit(...args: readonly string[]): Promise<string>
  stop(): Promise<void>
}

/** Starts them, and says where they are in the environment, for this process and for those that it starts. */
export async function startServers(): Promise<Servers> {
  const folder = await mkdtemp(join(tmpdir(), 'cache-consistency-'))
  const given = process.env['DATABASE_URL']
  const postgres = given === undefined ? await startPostgres({ dataDir: join(folder, 'postgres') }) : undefined
  const nats = await startNats({ storeDir: join(folder, 'nats') })
  const redis = await startRedis({ dataDir: join(folder, 'redis') })
  const db = await freshDatabase(given ?? postgres?.url ?? '')
  Object.assign(process.env, { DATABASE_URL: db, NATS_URL: nats.url, REDIS_URL: redis.url })
  await postcommit('migrate', '--database-url', db)
  const relay = createRelay({
    db,
    nats: {
      connection: { servers: nats.url },
      // A relay that is run by `postcommit run` makes it with `nats.cacheStream`.
      streams: [{ name: 'POSTCOMMIT_CACHE', subjects: ['postcommit.cache.>'], create: true }],
    },
    log: pino({ level: 'error' }),
  })
  await relay.start()
  return {
    postcommit,
    async stop() {
      await relay.stop()
      await Promise.all([postgres?.stop(), nats.stop(), redis.stop()])
      await rm(folder, { recursive: true })
    },
  }
}

async function postcommit(...args: readonly string[]): Promise<string> {
  const cli = fileURLToPath(new URL('./bin/postcommit.js', import.meta.resolve('@postcommit/relay/package.json')))
  const { stdout } = await promisify(execFile)(process.execPath, [...process.execArgv, cli, ...args])
  return stdout.trim()
}

async function freshDatabase(server: string): Promise<string> {
  const url = new URL(server)
  url.pathname += '_cache'
  const name = url.pathname.slice(1)
  const client = new pg.Client({ connectionString: server })
  await client.connect()
  await client.query(`drop database if exists ${name} with (force)`)
  await client.query(`create database ${name}`)
  await client.end()
  return url.href
}
