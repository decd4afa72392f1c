import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { createRelayClient } from 'postcommit'
import { BUSINESS_SCHEMA } from '../business.ts'
import type { Bench } from '../case.ts'
import { atMost, type Measurement, read } from '../measurement.ts'
import { Opened } from '../opened.ts'
import type { BenchDatabase } from '../servers.ts'
import { startWorker, type Worker } from '../worker.ts'
import type { AnnouncingServiceCommands, AnnouncingServiceConfig } from '../workers/announcing-service.ts'
import type { BranchServiceCommands, BranchServiceConfig } from '../workers/branch-service.ts'
import type { CoordinatorCommands, CoordinatorConfig } from '../workers/coordinator.ts'

const CHECK_AFTER_MS = 1000
const CRASHES = 6
const CONNECTIONS = 8
const MESSAGES = 10_000
const PER_REQUEST = 500
const OUTAGE_MS = 5000
const LOOK_MS = 50
const PATIENCE_MS = 60_000

/** Messages whose service went away before it had said what became of them. */
export async function measureUndecided(bench: Bench): Promise<readonly Measurement[]> {
  return [await measureCrashes(bench), ...(await measureOutage(bench))]
}

interface Rig extends AsyncDisposable {
  readonly service: BenchDatabase
  readonly store: BenchDatabase
  readonly branches: Worker<BranchServiceCommands>
  readonly relay: Worker<CoordinatorCommands>
}

/** A service that is called, and answers back-queries about the transactions of another. */
async function setUp({ servers }: Bench): Promise<Rig> {
  const opened = new Opened()
  const [service, store] = await Promise.all([servers.database(), servers.database()])
  await service.pool.query(BUSINESS_SCHEMA)
  const branches = opened.use(await startBranches({ database: service.url }))
  const url = await branches.call('url')
  const relay = opened.use(
    await startWorker<CoordinatorCommands>('coordinator', {
      database: store.url,
      destinations: { stock: { url, concurrency: 64 }, orders: { url, concurrency: 64 } },
    } satisfies CoordinatorConfig),
  )
  return { service, store, branches, relay, [Symbol.asyncDispose]: () => opened[Symbol.asyncDispose]() }
}

function startBranches(config: BranchServiceConfig): Promise<Worker<BranchServiceCommands>> {
  return startWorker<BranchServiceCommands>('branch-service', config)
}

async function measureCrashes(bench: Bench): Promise<Measurement> {
  await using rig = await setUp(bench)
  const late: number[] = []
  for (let crash = 0; crash < CRASHES; crash += 1) {
    late.push(await crashAndWait(rig))
    bench.progress(`delivered ${late.at(-1)?.toFixed(0)} ms after the check time`)
  }
  return read(
    { postcommit: late },
    {
      name: 'two-phase messages of a service that was killed between COMMIT and submit, after their check time',
      unit: 'ms',
      ours: 'postcommit',
      better: 'lower',
      goals: [atMost(1000)],
      note: `The latest of the up to ${CONNECTIONS} messages of each of ${CRASHES} crashes, from its prepare until it is written down as delivered, less the check time of ${CHECK_AFTER_MS} ms; by the clock of the database.`,
    },
  )
}

/** Resolves to how long after its check time the last message was delivered. */
async function crashAndWait({ service, store, relay, branches }: Rig): Promise<number> {
  await Promise.all([service.pool.query('truncate postcommit.barrier'), store.pool.query(TRUNCATE)])
  await using announcer = await startWorker<AnnouncingServiceCommands>('announcing-service', {
    database: service.url,
    connections: CONNECTIONS,
    contender: 'two-phase',
    url: await relay.call('url'),
    branchUrl: await branches.call('url'),
    checkAfterMs: CHECK_AFTER_MS,
    failpoints: 'sdk.before_submit:kill',
  } satisfies AnnouncingServiceConfig)
  const survived = await announcer.call('commit', CONNECTIONS).then(
    () => true,
    () => false,
  )
  if (survived) throw new Error('the service was not killed')
  const undecided = `select (select count(*) from postcommit.global_transaction where finished_at is null)::int
    + (select count(*) from postcommit.delivery where state <> 'confirmed')::int as count`
  await until(async () => (await count(store, undecided)) === 0)
  const { rows } = await store.pool.query<{ count: number; ms: number }>(
    `select count(*)::int, max(extract(epoch from d.settled_at - t.created_at))::float8 * 1000 - $1 as ms
from postcommit.global_transaction t join postcommit.delivery d on d.gid = t.gid where t.status = 'succeed'`,
    [CHECK_AFTER_MS],
  )
  const committed = await count(
    service,
    `select count(*)::int as count from postcommit.barrier where op = 'commit' and reason = 'commit'`,
  )
  const [delivered] = rows
  if (committed === 0 || delivered?.count !== committed) {
    throw new Error(`${committed} were committed and ${delivered?.count} delivered`)
  }
  return delivered.ms
}

async function measureOutage(bench: Bench): Promise<readonly Measurement[]> {
  await using rig = await setUp(bench)
  const samples: Record<'cpu' | 'claimed' | 'settled', number[]> = { cpu: [], claimed: [], settled: [] }
  let branches = rig.branches
  const port = Number(new URL(await branches.call('url')).port)
  for (let round = 0; round < bench.rounds; round += 1) {
    await branches.stop()
    await announce(rig)
    // Until the relay knows that the service does not answer.
    await sleep(2000)
    await rig.relay.watch()
    samples.claimed.push(await claimedAtMost(rig.store))
    samples.cpu.push((100 * (await rig.relay.usage()).cpuMs) / OUTAGE_MS)
    branches = await startBranches({ database: rig.service.url, port })
    const returnedAt = performance.now()
    await until(async () => (await count(rig.store, SUCCEEDED)) === MESSAGES)
    samples.settled.push((performance.now() - returnedAt) / 1000)
    bench.progress(`${MESSAGES} messages settled ${samples.settled.at(-1)?.toFixed(1)} s after the return`)
  }
  await branches.stop()
  const of = (ours: keyof typeof samples, name: string, unit: string, most: number) =>
    read(samples, {
      name: `${MESSAGES.toLocaleString('en')} prepared messages whose service is away, ${name}`,
      unit,
      ours,
      better: 'lower',
      goals: [atMost(most)],
    })
  return [
    of('cpu', 'what the relay takes of one processor', '%', 5),
    of('claimed', 'how many of them it has in hand at most', 'messages', 1),
    of('settled', 'from its return until all are delivered', 's', 5),
  ]
}

/** Prepares messages of transactions that are committed, due to be asked about at once. */
async function announce({ relay, service, store }: Rig): Promise<void> {
  await Promise.all([service.pool.query('truncate postcommit.barrier'), store.pool.query(TRUNCATE)])
  const client = createRelayClient({ url: await relay.call('url') })
  for (let first = 0; first < MESSAGES; first += PER_REQUEST) {
    const gids = Array.from({ length: PER_REQUEST }, () => randomUUID())
    const { rows } = await service.pool.query<{ xid: string }>(
      `insert into postcommit.barrier (gid, branch, op, reason) select gid, '', 'commit', 'commit' from unnest($1::text[]) as gid
returning pg_current_xact_id()::text as xid`,
      [gids],
    )
    const hint = rows[0]?.xid ?? ''
    await Promise.all(
      gids.map((gid) =>
        client.prepare(gid, {
          mode: 'msg',
          branches: [{ branch: '1', ops: { action: { destination: 'stock', path: '/plain' } }, payload: '{}' }],
          backQuery: { target: { destination: 'orders', path: '/back-query' }, checkAfterMs: 1, hint },
        }),
      ),
    )
  }
  await client.close()
}

/** Looks for a while. */
async function claimedAtMost(store: BenchDatabase): Promise<number> {
  const claimed = `select count(*)::int as count from postcommit.global_transaction where lease_token is not null`
  let most = 0
  for (const end = performance.now() + OUTAGE_MS; performance.now() < end; await sleep(LOOK_MS)) {
    most = Math.max(most, await count(store, claimed))
  }
  return most
}

const TRUNCATE =
  'truncate postcommit.global_transaction, postcommit.branch, postcommit.branch_attempt, postcommit.delivery, postcommit.attempt'
const SUCCEEDED = `select count(*)::int as count from postcommit.delivery where state = 'confirmed'`

async function count({ pool }: BenchDatabase, query: string): Promise<number> {
  return (await pool.query<{ count: number }>(query)).rows[0]?.count ?? 0
}

async function until(isSo: () => Promise<boolean>): Promise<void> {
  const end = performance.now() + PATIENCE_MS
  while (!(await isSo())) {
    if (performance.now() > end) throw new Error(`not done within ${PATIENCE_MS} ms`)
    await sleep(LOOK_MS)
  }
}
