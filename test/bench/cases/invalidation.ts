import { setTimeout as sleep } from 'node:timers/promises'
import { jetstreamManager } from '@nats-io/jetstream'
import { connect } from '@nats-io/transport-node'
import { alternate } from '../alternate.ts'
import type { Bench } from '../case.ts'
import { atMost, type Measurement, read } from '../measurement.ts'
import { Opened } from '../opened.ts'
import { PRODUCTS_SCHEMA } from '../products.ts'
import { quantile } from '../quantile.ts'
import { startWorker, type Worker } from '../worker.ts'
import type { Change, InvalidatingServiceCommands, InvalidatingServiceConfig } from '../workers/invalidating-service.ts'
import type { InvalidatorCommands, InvalidatorConfig } from '../workers/invalidator.ts'
import type { RelayCommands, RelayConfig } from '../workers/relay.ts'

const PER_SECOND = 100
const ARRIVAL_MS = 20_000
const LOOK_MS = 5
const STREAM = 'CACHE'

const OURS = 'postcommit'
const DELETE = 'DEL after COMMIT, which a crash leaves out'

const TO_STORE = 'commit to invalidated in Redis'

/** A service, a relay and a cache that applies its invalidations, on servers that may be killed. */
interface Rig extends AsyncDisposable {
  readonly service: () => Promise<Worker<InvalidatingServiceCommands>>
  readonly relay: () => Promise<Worker<RelayCommands>>
  /** The one that holds the outbox. */
  active: Worker<RelayCommands>
  readonly invalidator: Worker<InvalidatorCommands>
  readonly servers: Readonly<Record<'nats' | 'redis', { kill(): Promise<void>; start(): Promise<void> }>>
}

async function setUp({ servers }: Bench): Promise<Rig> {
  const opened = new Opened()
  const database = await servers.database()
  await database.pool.query(PRODUCTS_SCHEMA)
  const [redis, nats] = await Promise.all([servers.redisAside({ appendonly: 'no' }), servers.natsAside()])
  const relayConfig: RelayConfig = {
    database: database.url,
    nats: nats.url,
    stream: { name: STREAM, subjects: ['postcommit.cache.>'] },
  }
  const serviceConfig: InvalidatingServiceConfig = { database: database.url, redis: redis.url }
  const invalidatorConfig: InvalidatorConfig = { nats: nats.url, redis: redis.url, stream: STREAM }
  const relay = async () => opened.use(await startWorker<RelayCommands>('relay', relayConfig))
  await makeStream(nats.url)
  const active = await relay()
  const invalidator = opened.use(await startWorker<InvalidatorCommands>('invalidator', invalidatorConfig))
  return {
    service: async () =>
      opened.use(await startWorker<InvalidatingServiceCommands>('invalidating-service', serviceConfig)),
    relay,
    active,
    invalidator,
    servers: { nats, redis },
    [Symbol.asyncDispose]: async () => {
      await opened[Symbol.asyncDispose]()
      await database.drop()
      await Promise.all([redis.stop(), nats.stop()])
    },
  }
}

async function makeStream(url: string): Promise<void> {
  const connection = await connect({ servers: url })
  const manager = await jetstreamManager(connection)
  await manager.streams.add({ name: STREAM, subjects: ['postcommit.cache.>'], duplicate_window: 600e9 })
  await connection.close()
}

/** How long an invalidation takes when all is well. */
export async function measureInvalidation(bench: Bench): Promise<readonly Measurement[]> {
  await using rig = await setUp(bench)
  const service = await rig.service()
  const p50: Record<typeof OURS | typeof DELETE, number[]> = { [OURS]: [], [DELETE]: [] }
  const p99: typeof p50 = { [OURS]: [], [DELETE]: [] }
  const ms = bench.scale(5000, 1200)
  await untilApplied(rig.invalidator, await service.call('change', PER_SECOND, 1000))
  await service.call('changeAndDelete', PER_SECOND, 500)
  const note = (name: keyof typeof p50, tookMs: readonly number[]) => {
    p50[name].push(quantile(tookMs, 0.5))
    p99[name].push(quantile(tookMs, 0.99))
    return quantile(tookMs, 0.5)
  }
  const contenders = {
    [OURS]: async () => note(OURS, await untilApplied(rig.invalidator, await service.call('change', PER_SECOND, ms))),
    [DELETE]: async () => note(DELETE, await service.call('changeAndDelete', PER_SECOND, ms)),
  }
  await alternate(contenders, bench.rounds, (name, took) => bench.progress(`${name}, p50 ${took.toFixed(2)} ms`))
  const reading = { unit: 'ms', ours: OURS, limit: DELETE, better: 'lower' } as const
  return [
    read(p50, { ...reading, name: `${TO_STORE} at ${PER_SECOND}/s, p50`, goals: [atMost(15)] }),
    read(p99, { ...reading, name: `${TO_STORE} at ${PER_SECOND}/s, p99`, goals: [atMost(60)] }),
  ]
}

/** How long the longest takes while one of those that take part dies. */
export async function measureCrashes(bench: Bench): Promise<readonly Measurement[]> {
  await using rig = await setUp(bench)
  const service = await rig.service()
  await untilApplied(rig.invalidator, await service.call('change', PER_SECOND, 1000))
  // One holds the outbox and one stands by; a relay that has died is replaced by the next to stand by.
  let standby = await rig.relay()
  const killRelay = async () => {
    rig.active.signal('SIGKILL')
    rig.active = standby
  }
  const changing = async (crash: () => Promise<unknown>) => {
    const changes = service.call('change', PER_SECOND, 2000)
    await sleep(1000)
    await crash()
    return Math.max(...(await untilApplied(rig.invalidator, await changes)))
  }
  const crashes = {
    'the service, right after COMMIT': async () => {
      const mortal = await rig.service()
      const change = await mortal.call('changeSilently')
      mortal.signal('SIGKILL')
      return Math.max(...(await untilApplied(rig.invalidator, [change])))
    },
    'the relay, another one standing by': async () => {
      const took = await changing(killRelay)
      standby = await rig.relay()
      return took
    },
    Redis: () => changing(() => killAndStart(rig.servers.redis)),
    NATS: () => changing(() => killAndStart(rig.servers.nats)),
  }
  const samples = await alternate(crashes, bench.rounds, (name, ms) => bench.progress(`${name}: ${Math.round(ms)} ms`))
  return (Object.keys(crashes) as (keyof typeof crashes)[]).map((crash) =>
    read(samples, {
      ...{ name: `longest ${TO_STORE}, kill -9 of ${crash}`, unit: 'ms', ours: crash, better: 'lower' },
      goals: [atMost(1000)],
    }),
  )
}

async function killAndStart(server: { kill(): Promise<void>; start(): Promise<void> }): Promise<void> {
  await server.kill()
  await server.start()
}

/** How long each of these changes took until the store was invalidated; waits until all of them are. */
async function untilApplied(
  invalidator: Worker<InvalidatorCommands>,
  changes: readonly Change[],
): Promise<readonly number[]> {
  const appliedAt = new Map<number, number>()
  for (const until = performance.now() + ARRIVAL_MS; performance.now() < until; await sleep(LOOK_MS)) {
    for (const [id, atMs] of await invalidator.call('applied')) appliedAt.set(id, atMs)
    if (changes.every(({ id }) => appliedAt.has(id))) {
      return changes.map(({ id, committedAt }) => Math.max(0, (appliedAt.get(id) ?? Number.NaN) - committedAt))
    }
  }
  throw new Error(`of ${changes.length} changes only ${appliedAt.size} were applied within ${ARRIVAL_MS} ms`)
}
