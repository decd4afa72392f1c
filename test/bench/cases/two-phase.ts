import { setTimeout as sleep } from 'node:timers/promises'
import { alternate, quiet } from '../alternate.ts'
import { BUSINESS_SCHEMA } from '../business.ts'
import type { Bench, Case } from '../case.ts'
import { DTM_BARRIER_SCHEMA, DTM_STORE_SCHEMA } from '../dtm-store.ts'
import { atMost, type Measurement, ratioAtLeast, read } from '../measurement.ts'
import { Opened } from '../opened.ts'
import type { BenchDatabase, BenchStream } from '../servers.ts'
import { startWorker, type Worker } from '../worker.ts'
import type { AnnouncingServiceCommands, AnnouncingServiceConfig, Events } from '../workers/announcing-service.ts'
import type { BranchServiceCommands, BranchServiceConfig } from '../workers/branch-service.ts'
import type { CoordinatorCommands, CoordinatorConfig } from '../workers/coordinator.ts'
import type { DtmReplayCommands, DtmReplayConfig } from '../workers/dtm-replay.ts'
import { measureUndecided } from './undecided.ts'

const CONNECTIONS = 64
const CALLS_AT_ONCE = 64
const PACE = 100
const PATIENCE_MS = 60_000
const LOOK_MS = 20

const BARE = 'the local transaction alone'
const DTM = "DTM's sequence, replayed"
const PUBLISHED = 'one event'

/** Messages of a service whose database the relay cannot read. */
export const twoPhase: Case = {
  name: 'two-phase',
  title: 'Two-phase messages: prepare, local transaction, submit, one HTTP branch, all of it durable',
  caveats: [
    'The clock runs from the first commit until every message is written down as delivered. Service, relay (or replay), called service and PostgreSQL share the processors; the service has its database, the relay another, on the same server.',
    `${CONNECTIONS} commits at once. The local transaction is that of \`producer\`: one SELECT, one INSERT and one UPDATE.`,
    'DTM itself is not run: its requests, statements and transactions are replayed, on tables as its PostgreSQL store has them, by a server of one thread of JavaScript, as our relay is; DTM is written in Go and uses all processors. In its favour statements are prepared once, connections stay open, nothing is logged, and nothing polls.',
  ],
  async run(bench) {
    const announced = await measureAnnounced(bench)
    // Waiting makes up most of it, and there is no time for that in a quick run.
    return bench.quick ? announced : [...announced, ...(await measureUndecided(bench))]
  },
}

/** Its connections are closed by the end: PostgreSQL has not as many as both parts take. */
async function measureAnnounced(bench: Bench): Promise<readonly Measurement[]> {
  await using rig = await setUp(bench)
  return [...(await measureRate(bench, rig)), ...(await measureLatency(bench, rig))]
}

type Announcer = Worker<AnnouncingServiceCommands>

interface Rig extends AsyncDisposable {
  readonly bare: Announcer
  readonly ours: Announcer
  readonly dtm: Announcer
  readonly branches: Worker<BranchServiceCommands>
  readonly stream: BenchStream
  readonly store: BenchDatabase
  readonly dtmStore: BenchDatabase
}

async function setUp(bench: Bench): Promise<Rig> {
  const { servers } = bench
  const opened = new Opened()
  const branches = opened.use(
    await startWorker<BranchServiceCommands>('branch-service', {} satisfies BranchServiceConfig),
  )
  const branchUrl = await branches.call('url')
  const [service, store, dtmService, dtmStore, stream] = await Promise.all([
    servers.database(),
    servers.database(),
    servers.database({ empty: true }),
    servers.database({ empty: true }),
    servers.stream(),
  ])
  await Promise.all([
    service.pool.query(BUSINESS_SCHEMA),
    dtmService.pool.query(`${BUSINESS_SCHEMA}; ${DTM_BARRIER_SCHEMA}`),
    dtmStore.pool.query(DTM_STORE_SCHEMA),
  ])
  const relay = opened.use(
    await startWorker<CoordinatorCommands>('coordinator', {
      database: store.url,
      destinations: {
        stock: { url: branchUrl, concurrency: CALLS_AT_ONCE },
        orders: { url: branchUrl, concurrency: CALLS_AT_ONCE },
      },
      nats: { url: servers.nats.url, stream: stream.name, subjects: stream.subjects },
    } satisfies CoordinatorConfig),
  )
  const replay = opened.use(
    await startWorker<DtmReplayCommands>('dtm-replay', { database: dtmStore.url } satisfies DtmReplayConfig),
  )
  const announcer = async (config: Pick<AnnouncingServiceConfig, 'database' | 'contender' | 'url'>) =>
    opened.use(
      await startWorker<AnnouncingServiceCommands>('announcing-service', {
        ...config,
        connections: CONNECTIONS,
        branchUrl,
      } satisfies AnnouncingServiceConfig),
    )
  const bare = await announcer({ contender: 'bare', database: service.url, url: '' })
  const ours = await announcer({ contender: 'two-phase', database: service.url, url: await relay.call('url') })
  const dtm = await announcer({ contender: 'dtm', database: dtmService.url, url: await replay.call('url') })
  const close = () => opened[Symbol.asyncDispose]()
  return { bare, ours, dtm, branches, stream, store, dtmStore, [Symbol.asyncDispose]: close }
}

async function measureRate(bench: Bench, rig: Rig): Promise<readonly Measurement[]> {
  const way = { ...OURS, store: rig.store }
  const contendersOf = (messages: number, theirs: number) => ({
    [BARE]: async () => {
      const startedAt = performance.now()
      await rig.bare.call('commit', messages)
      return (messages / (performance.now() - startedAt)) * 1000
    },
    postcommit: () => deliver({ ...way, announcer: rig.ours, arrived: callsAt(rig) }, messages),
    [PUBLISHED]: () => deliver({ ...way, announcer: rig.ours, arrived: eventsIn(rig) }, messages),
    [DTM]: () => deliver({ ...THEIRS, announcer: rig.dtm, store: rig.dtmStore, arrived: callsAt(rig) }, theirs),
  })
  // A quick run warms up as long as a full one: before some thousand messages the code is not what it will be.
  for (const warmUp of Object.values(contendersOf(5000, 2000))) await warmUp()
  const contenders = contendersOf(bench.scale(5000, 2500), bench.scale(2000, 800))
  const samples = await alternate(contenders, bench.rounds, (name, rate) =>
    bench.progress(`${name} ${Math.round(rate)}/s`),
  )
  return [
    read(samples, {
      name: 'two-phase messages, end to end',
      unit: 'messages/s',
      ours: 'postcommit',
      limit: BARE,
      peers: [DTM],
      goals: [ratioAtLeast(BARE, 0.65), ratioAtLeast(DTM, 3)],
    }),
    read(
      { added: addedUs(samples.postcommit, samples[BARE]) },
      {
        name: 'two-phase messages, what each adds to the local transaction',
        unit: 'µs',
        ours: 'added',
        better: 'lower',
        goals: [atMost(450)],
        note: 'The time of the machine for one of them, 1 ÷ rate, less that for the local transaction alone in the same round.',
      },
    ),
    read(samples, {
      name: 'two-phase messages of one event, until it is in the stream',
      unit: 'messages/s',
      ours: PUBLISHED,
      limit: BARE,
    }),
  ]
}

function addedUs(rates: readonly number[], bare: readonly number[]): number[] {
  return rates.map((rate, round) => 1e6 / rate - 1e6 / (bare[round] ?? Number.NaN))
}

const OURS = {
  truncate:
    'truncate postcommit.global_transaction, postcommit.branch, postcommit.branch_attempt, postcommit.delivery, postcommit.attempt',
  count: `select count(*)::int as count from postcommit.global_transaction t where status = 'succeed'
    and not exists (select from postcommit.delivery d where d.gid = t.gid and d.state <> 'confirmed')`,
}
const THEIRS = {
  truncate: 'truncate trans_global, trans_branch_op',
  count: `select count(*)::int as count from trans_global where status = 'succeed'`,
}

interface Way {
  readonly announcer: Announcer
  readonly arrived: Arrived
  readonly store: BenchDatabase
  readonly truncate: string
  readonly count: string
}

/** What the messages lead to. */
interface Arrived {
  readonly events?: Events
  reset(): Promise<void>
  count(): Promise<number>
}

const callsAt = ({ branches }: Rig): Arrived => ({
  reset: () => branches.call('reset'),
  count: () => branches.call('answered'),
})

const eventsIn = ({ stream }: Rig): Arrived => ({
  events: { topic: `${stream.prefix}.order`, count: 1 },
  reset: () => stream.purge(),
  count: () => stream.count(),
})

/** Resolves to messages per second, from the first commit until the last delivery is written down. */
async function deliver({ announcer, store, truncate, count, arrived }: Way, messages: number) {
  await store.pool.query(truncate)
  await arrived.reset()
  const startedAt = performance.now()
  const until = async (look: () => Promise<number>) => {
    while ((await look()) < messages) {
      if (performance.now() - startedAt > PATIENCE_MS) throw new Error(`not done within ${PATIENCE_MS} ms`)
      await sleep(LOOK_MS)
    }
  }
  await announcer.call('commit', messages, arrived.events)
  await until(() => arrived.count())
  await until(async () => (await store.pool.query<{ count: number }>(count)).rows[0]?.count ?? 0)
  return (messages / (performance.now() - startedAt)) * 1000
}

async function measureLatency(bench: Bench, rig: Rig): Promise<readonly Measurement[]> {
  const ms = bench.scale(3000, 600)
  const added: Record<'postcommit' | typeof DTM, number[]> = { postcommit: [], [DTM]: [] }
  const p50 = async (announcer: Announcer) => {
    await quiet()
    return quantile(await announcer.call('paced', PACE, ms), 0.5)
  }
  for (let round = 0; round < bench.rounds; round += 1) {
    const bare = await p50(rig.bare)
    added.postcommit.push((await p50(rig.ours)) - bare)
    added[DTM].push((await p50(rig.dtm)) - bare)
    bench.progress(`commit() takes ${added.postcommit.at(-1)?.toFixed(2)} ms more than the transaction alone`)
  }
  return [
    read(added, {
      name: `two-phase messages, what commit() takes longer at ${PACE}/s, p50`,
      unit: 'ms',
      ours: 'postcommit',
      peers: [DTM],
      better: 'lower',
      goals: [atMost(4)],
      note: 'The median of each round minus the median of the same transaction alone in the same round. Arrivals are random and wait for nothing.',
    }),
  ]
}

function quantile(sorted: readonly number[], q: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? Number.NaN
}
