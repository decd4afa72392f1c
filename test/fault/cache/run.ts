import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { jetstreamManager } from '@nats-io/jetstream'
import { type ServerLifecycle, startNats, startPostgres, startRedis } from '@postcommit/relay/dev'
import pg from 'pg'
import { applyMigrations } from '../../../relay/store/migrate.ts'
import { postgresSource } from '../../support/postgres-source.ts'
import { type Addresses, openPlaces, type Places, PRODUCTS } from './places.ts'

/** What a run has come to. */
export interface CacheRun {
  readonly reads: number
  readonly writes: number
  /** Of those, the ones whose invalidation was done when their commit returned. */
  readonly applied: number
  /** Reads that returned less than what had been invalidated before they began. */
  readonly old: readonly string[]
  readonly readsFailed: number
  readonly kills: Readonly<Record<string, number>>
  /** How long after the last change every cache was what the database is, milliseconds. */
  readonly equalAfterMs: number
  /** Of all reads, those that a cache answered. */
  readonly hitRate: number
}

/** How a run goes. */
export interface CacheRunOptions {
  readonly seconds: number
  readonly readers: number
  /** What is killed, and when, is the same for the same seed; what else happens meanwhile is not. */
  readonly seed?: number
  readonly log?: (line: string) => void
}

const PROGRAMS = ['writer', 'writer', 'relay', 'reader'] as const
const QUIET_MS_MAX = 20_000
const WRITES_BETWEEN_KILLS = 5

/**
 * Two caches of the same products, in Redis and in NATS KV, with readers here who check what they are shown; writers, a
 * relay and other readers are processes that are killed at random, and so are the servers.
 */
export async function runCaches(options: CacheRunOptions): Promise<CacheRun> {
  const { seconds, readers, seed = 1, log = () => undefined } = options
  const folder = await mkdtemp(join(tmpdir(), 'postcommit-cache-'))
  const postgres = await startPostgres({ dataDir: join(folder, 'postgres'), binaries: postgresSource() })
  const nats = await startNats({ storeDir: join(folder, 'nats') })
  const redis = await startRedis({ dataDir: join(folder, 'redis') })
  const addresses = { databaseUrl: postgres.url, natsUrl: nats.url, redisUrl: redis.url }
  const children = new Map<number, ChildProcess>()
  const invalidated = new Map<number, number>()
  /** Those that have come so far as to do something. */
  const running = new Set<number>()
  const kills: Record<string, number> = {}
  const random = randomOf(seed)
  let [writes, applied] = [0, 0]
  let isOver = false
  await prepare(addresses)
  const places = await openPlaces(addresses)

  const start = (slot: number): void => {
    if (isOver) return
    const program = fileURLToPath(new URL(`../../support/fixtures/cache-${PROGRAMS[slot]}.ts`, import.meta.url))
    const child = fork(program, [JSON.stringify(addresses)], { execArgv: ['--import', 'tsx'], stdio: 'ignore' })
    children.set(slot, child)
    child.on('message', (said: { id: number; version: number; cache?: string }) => {
      running.add(slot)
      if (said.cache === undefined) return
      writes += 1
      if (said.cache !== 'applied') return
      applied += 1
      invalidated.set(said.id, Math.max(invalidated.get(said.id) ?? 0, said.version))
    })
    child.once('exit', () => {
      running.delete(slot)
      start(slot)
    })
  }
  try {
    for (const slot of PROGRAMS.keys()) start(slot)
    const reading = Array.from({ length: readers }, (_, n) => read(places, n, invalidated, () => isOver))
    const end = performance.now() + seconds * 1000
    for (let n = 1; performance.now() < end; n += 1) {
      await sleep(400 + random() * 800)
      await until(
        rises(() => writes),
        3000,
      )
      const slot = [...running].toSorted()[Math.floor(random() * running.size)]
      const program = slot === undefined ? undefined : PROGRAMS[slot]
      const victim = n % 9 === 0 ? 'redis' : n % 9 === 5 ? 'nats' : program
      if (victim === undefined) continue
      kills[victim] = (kills[victim] ?? 0) + 1
      log(`kill ${victim}; ${writes} writes`)
      const server = { redis, nats }[victim as string]
      if (server !== undefined) await bounce(server, random() * 1000)
      else if (slot !== undefined) children.get(slot)?.kill('SIGKILL')
    }
    await stopWriters(children)
    const equalAfterMs = await untilEqual(places)
    isOver = true
    return { ...sum(await Promise.all(reading), places), writes, applied, kills, equalAfterMs }
  } finally {
    isOver = true
    for (const child of children.values()) child.kill('SIGKILL')
    await places.close()
    await Promise.all([postgres.stop(), nats.stop(), redis.stop()])
    await rm(folder, { recursive: true, force: true })
  }
}

async function bounce(server: ServerLifecycle, awayMs: number): Promise<void> {
  await server.kill()
  await sleep(awayMs)
  await server.start()
}

/** Whether a count has risen enough since now: on a busy machine the programs would only be started and killed. */
function rises(count: () => number): () => boolean {
  const enough = count() + WRITES_BETWEEN_KILLS
  return () => count() >= enough
}

async function until(isSo: () => boolean, timeoutMs: number): Promise<void> {
  for (const end = performance.now() + timeoutMs; !isSo() && performance.now() < end; ) await sleep(20)
}

/** Numbers from 0 to 1 that look random and are the same for the same seed: a linear congruential generator. */
function randomOf(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}

function sum(
  seen: readonly Awaited<ReturnType<typeof read>>[],
  { values }: Places,
): Pick<CacheRun, 'reads' | 'readsFailed' | 'old' | 'hitRate'> {
  const reads = seen.reduce((total, each) => total + each.reads, 0)
  const readsFailed = seen.reduce((total, each) => total + each.failed, 0)
  const hits = values.reduce((total, { stats }) => total + stats.hits, 0)
  return { reads, readsFailed, old: seen.flatMap((each) => each.old), hitRate: hits / reads }
}

async function prepare({ databaseUrl, natsUrl, redisUrl }: Addresses): Promise<void> {
  const client = new pg.Client({ connectionString: databaseUrl })
  await client.connect()
  await applyMigrations(client, 'products')
  await client.query('create table products (id int primary key, version int not null)')
  await client.query('insert into products select id, 1 from generate_series(1, $1) id', [PRODUCTS])
  await client.end()
  const places = await openPlaces({ databaseUrl, natsUrl, redisUrl })
  const manager = await jetstreamManager(places.connection)
  await manager.streams.add({ name: 'CACHE', subjects: ['postcommit.cache.>'], duplicate_window: 600e9 })
  await places.close()
}

async function read(
  { values }: Places,
  number: number,
  invalidated: ReadonlyMap<number, number>,
  isOver: () => boolean,
): Promise<{ readonly reads: number; readonly failed: number; readonly old: readonly string[] }> {
  const cache = values[number % values.length]
  const old: string[] = []
  let [reads, failed] = [0, 0]
  while (!isOver()) {
    const id = 1 + Math.floor(Math.random() * PRODUCTS)
    const least = invalidated.get(id) ?? 0
    try {
      const product = await cache?.get(id)
      reads += 1
      if ((product?.version ?? 0) < least) old.push(`reader ${number}: ${product?.version} of ${id} after ${least}`)
    } catch {
      failed += 1
    }
    await sleep(Math.random() * 10)
  }
  return { reads, failed, old }
}

async function stopWriters(children: ReadonlyMap<number, ChildProcess>): Promise<void> {
  for (const [slot, child] of children) {
    if (PROGRAMS[slot] !== 'writer') continue
    child.removeAllListeners('exit')
    const ended = child.exitCode !== null || child.signalCode !== null ? undefined : once(child, 'exit')
    child.kill('SIGKILL')
    await ended
  }
}

/** How long until both caches are what the database is, and stay so while they are looked at. */
async function untilEqual({ pool, caches, values }: Places): Promise<number> {
  const startedAt = performance.now()
  const { rows } = await pool.query<{ id: number; version: number }>('select id, version from products')
  for (;;) {
    const seen = await Promise.all(rows.flatMap(({ id }) => values.map((each) => each.get(id).catch(() => null))))
    const wanted = rows.flatMap(({ version }) => values.map(() => version))
    const isEqual = seen.every((product, index) => product?.version === wanted[index])
    const areRead = caches.every(({ readsFrom }) => readsFrom === 'cache')
    const tookMs = performance.now() - startedAt
    if ((isEqual && areRead) || tookMs > QUIET_MS_MAX) return tookMs
    await sleep(10)
  }
}
