import { alternate } from '../alternate.ts'
import type { CacheName } from '../caches.ts'
import type { Bench, Case } from '../case.ts'
import { atLeast, atMost, type Measurement, read } from '../measurement.ts'
import { Opened } from '../opened.ts'
import { PRODUCTS_SCHEMA } from '../products.ts'
import { quantile } from '../quantile.ts'
import type { BenchDatabase } from '../servers.ts'
import { startWorker, type Worker } from '../worker.ts'
import type { CacheReaderCommands, CacheReaderConfig } from '../workers/cache-reader.ts'
import { measureCrashes, measureInvalidation } from './invalidation.ts'

/** For paced hits: as many as there are processors here; more of them only wait for each other. */
const PACED = 2
/** For the hot key. */
const READING = 3
/** One more changes what they read. */
const PROCESSES = READING + 1
const READS_PER_SECOND = 10_000
const PRODUCTS = 10_000
const READERS_EACH = 8
const UPDATES_PER_SECOND = 10
/** The readers go on for so long after the last change, so that its load is counted. */
const AFTER_LAST_MS = 300

const OURS = 'postcommit'
const FIRST_LEVEL = 'postcommit, first level'
const MAP = 'a Map'
const PLAIN = 'GET, SET and DEL'

/** Values of a database in front of it, and how soon they are gone when it has changed. */
export const cache: Case = {
  name: 'cache',
  title: 'Cached values: reads, loads, and the way of an invalidation',
  onlyInFull: true,
  caveats: [
    `Hits in Redis are paced: ${READS_PER_SECOND} reads a second of ${PRODUCTS} products, from ${PACED} processes with one connection each. Reads begin at random moments (exponential gaps) and wait for no answer. Timers of Node.js round to whole milliseconds, so some begin together; a read is measured from its begin. How late reads began says how busy the clients were with themselves.`,
    'All go through ioredis. node-redis 6 makes an AbortSignal for the time limit of each command, which shows at this rate; ours takes that limit off for reads, because it has one of its own.',
    'A product is about 200 bytes of JSON, parsed and checked by the same zod schema everywhere, except by bentocache, which knows no schema.',
    '"GET, SET and DEL" is what one writes without a library: it keeps an old value when a load is overtaken by a change. bentocache and cachified do so too; what they are compared in here is time and loads.',
    `For the hot key ${READING} processes with ${READERS_EACH} readers each read one product as fast as they can, while a fourth changes it ${UPDATES_PER_SECOND} times a second.`,
    'What is kept in the process: ours looks at the watch of the bucket, parses and checks the text again, so that each read returns a value of its own; a Map and cachified over a Map return the same object to all.',
    'Commit to invalidation runs from the return of commit() in one process to the answer of Redis in another, over outbox, relay, JetStream and the durable consumer; the committing process has no cache of its own, which it would have invalidated itself.',
  ],
  async run(bench) {
    await using rig = await setUp(bench)
    const reads = [...(await measureFirstLevel(rig)), ...(await measureShared(rig))]
    const ways = await measureInvalidation(bench)
    return bench.quick ? [...reads, ...ways] : [...reads, ...ways, ...(await measureCrashes(bench))]
  },
}

type Reader = Worker<CacheReaderCommands>

interface Rig extends AsyncDisposable {
  readonly bench: Bench
  readonly database: BenchDatabase
  readonly redis: string
}

async function setUp(bench: Bench): Promise<Rig> {
  const database = await bench.servers.database()
  await database.pool.query(PRODUCTS_SCHEMA)
  // A cache can be loaded again: it need not be synced.
  const redis = await bench.servers.redisAside({ appendonly: 'no' })
  const close = async () => {
    await database.drop()
    await redis.stop()
  }
  return { bench, database, redis: redis.url, [Symbol.asyncDispose]: close }
}

async function openReaders({ bench, database, redis }: Rig, opened: Opened, cache: CacheName, processes: number) {
  const config: CacheReaderConfig = { database: database.url, redis, nats: bench.servers.nats.url, cache }
  const readers: Reader[] = []
  for (let n = 0; n < processes; n += 1) {
    readers.push(opened.use(await startWorker<CacheReaderCommands>('cache-reader', config)))
  }
  return readers
}

/** In a quick run only the control is compared with: each peer has to be started and warmed up. */
const inRun = ({ quick }: Bench, names: readonly CacheName[]) => (quick ? names.slice(0, 2) : names)

async function measureFirstLevel(rig: Rig): Promise<readonly Measurement[]> {
  const { bench } = rig
  const names = inRun(bench, [FIRST_LEVEL, MAP, 'cachified over a Map', 'bentocache, memory before Redis'])
  await using opened = new Opened()
  const p50: Record<string, number[]> = {}
  const p99: Record<string, number[]> = {}
  const contenders: Record<string, () => Promise<number>> = {}
  for (const name of names) {
    const [reader] = await openReaders(rig, opened, name, 1)
    if (reader === undefined) continue
    await reader.call('fill', 100)
    await reader.call('sequence', 50_000, 100)
    p50[name] = []
    p99[name] = []
    contenders[name] = async () => {
      const tookUs = (await reader.call('sequence', bench.scale(50_000, 20_000), 100)).map((ms) => ms * 1000)
      p50[name]?.push(quantile(tookUs, 0.5))
      p99[name]?.push(quantile(tookUs, 0.99))
      return quantile(tookUs, 0.99)
    }
  }
  await alternate(contenders, bench.rounds, (name, us) => bench.progress(`${name}, p99 ${us.toFixed(1)} µs`))
  const peers = names.slice(2)
  const reading = { unit: 'µs', ours: FIRST_LEVEL, limit: MAP, peers, better: 'lower' } as const
  return [
    read<string>(p50, { ...reading, name: 'first-level hit, p50' }),
    read<string>(p99, { ...reading, name: 'first-level hit, p99', goals: [atMost(20)] }),
  ]
}

/** Readers of one cache in Redis. */
type Crowd = readonly [name: CacheName, readers: readonly Reader[]]

async function measureShared(rig: Rig): Promise<readonly Measurement[]> {
  const { bench } = rig
  await using opened = new Opened()
  const crowds: Crowd[] = []
  for (const name of inRun(bench, [OURS, PLAIN, 'cachified over Redis', 'bentocache over Redis'])) {
    const readers = await openReaders(rig, opened, name, PROCESSES)
    await readers[0]?.call('fill', PRODUCTS)
    crowds.push([name, readers])
  }
  return [...(await measureHits(bench, crowds)), ...(await measureHotKey(bench, crowds))]
}

async function measureHits(bench: Bench, crowds: readonly Crowd[]): Promise<readonly Measurement[]> {
  const p50: Record<string, number[]> = {}
  const p99: Record<string, number[]> = {}
  const late: Record<string, number[]> = {}
  const contenders: Record<string, () => Promise<number>> = {}
  for (const [name, readers] of crowds) {
    const paced = async (ms: number) => {
      const runs = readers.slice(0, PACED).map((reader) => reader.call('paced', READS_PER_SECOND / PACED, ms, PRODUCTS))
      const all = await Promise.all(runs)
      return { tookMs: all.flatMap(({ tookMs }) => tookMs), lateMs: all.flatMap(({ lateMs }) => lateMs) }
    }
    await paced(bench.scale(1500, 700))
    p50[name] = []
    p99[name] = []
    late[name] = []
    contenders[name] = async () => {
      const { tookMs, lateMs } = await paced(bench.scale(2500, 800))
      p50[name]?.push(quantile(tookMs, 0.5))
      p99[name]?.push(quantile(tookMs, 0.99))
      late[name]?.push(quantile(lateMs, 0.99))
      return quantile(tookMs, 0.5)
    }
  }
  await alternate(contenders, bench.rounds, (name, ms) => bench.progress(`${name}, p50 ${ms.toFixed(2)} ms`))
  const peers = crowds.slice(2).map(([name]) => name)
  const reading = { unit: 'ms', ours: OURS, limit: PLAIN, peers, better: 'lower' } as const
  const what = `hit in Redis at ${READS_PER_SECOND.toLocaleString('en')} reads/s`
  return [
    read<string>(p50, { ...reading, name: `${what}, p50`, goals: [atMost(0.6)] }),
    read<string>(p99, { ...reading, name: `${what}, p99`, goals: [atMost(3)] }),
    read<string>(late, { ...reading, name: `${what}: how late reads began, p99` }),
  ]
}

async function measureHotKey(bench: Bench, crowds: readonly Crowd[]): Promise<readonly Measurement[]> {
  const rates: Record<string, number[]> = {}
  const loadsEach: Record<string, number[]> = {}
  const contenders: Record<string, () => Promise<number>> = {}
  for (const [name, [writer, ...readers]] of crowds) {
    await Promise.all(readers.map((reader) => reader.call('hot', READERS_EACH, 200, 1)))
    rates[name] = []
    loadsEach[name] = []
    contenders[name] = async () => {
      const ms = bench.scale(3000, 1200)
      const changing = writer?.call('update', UPDATES_PER_SECOND, ms - AFTER_LAST_MS, 1)
      const seen = await Promise.all(readers.map((reader) => reader.call('hot', READERS_EACH, ms, 1)))
      const loads = seen.reduce((sum, each) => sum + each.loads, 0)
      const reads = seen.reduce((sum, each) => sum + each.reads, 0)
      rates[name]?.push(100 * (1 - loads / reads))
      loadsEach[name]?.push(loads / ((await changing) ?? Number.NaN))
      return reads / (ms / 1000)
    }
  }
  const perSecond = await alternate(contenders, bench.rounds, (name, rate) =>
    bench.progress(`${name}, ${Math.round(rate)} reads/s of a hot key`),
  )
  const peers = crowds.slice(1).map(([name]) => name)
  const what = `hot key, ${UPDATES_PER_SECOND} changes/s`
  return [
    read<string>(rates, {
      ...{ name: `${what}: reads without a load`, unit: '%', ours: OURS, peers },
      goals: [atLeast(99.9)],
    }),
    read<string>(loadsEach, {
      ...{ name: `${what}: loads for each change, all processes`, unit: 'loads', ours: OURS, peers, better: 'lower' },
      goals: [atMost(1)],
    }),
    read<string>(perSecond, { name: `${what}: reads`, unit: 'reads/s', ours: OURS, peers }),
  ]
}
