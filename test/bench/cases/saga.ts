import { setTimeout as sleep } from 'node:timers/promises'
import { alternate } from '../alternate.ts'
import { BUSINESS_SCHEMA } from '../business.ts'
import type { Bench, Case } from '../case.ts'
import { DTM_STORE_SCHEMA } from '../dtm-store.ts'
import { atLeast, ratioAtLeast, read } from '../measurement.ts'
import { Opened } from '../opened.ts'
import type { BenchDatabase } from '../servers.ts'
import { startWorker, type Worker } from '../worker.ts'
import type { BranchServiceCommands, BranchServiceConfig } from '../workers/branch-service.ts'
import type { CoordinatorCommands, CoordinatorConfig } from '../workers/coordinator.ts'
import type { DtmReplayCommands, DtmReplayConfig } from '../workers/dtm-replay.ts'
import type { SagaInitiatorCommands, SagaInitiatorConfig } from '../workers/saga-initiator.ts'

const CONCURRENCY = 64
const PATIENCE_MS = 60_000
const LOOK_MS = 20
const DTM = "DTM's sequence, replayed"
const BRANCHES = "the branches' own transactions alone"

/** Sagas of two steps. */
export const saga: Case = {
  name: 'saga',
  title: 'Sagas of two branches, each with a transaction behind the barrier, committed',
  caveats: [
    `${CONCURRENCY} are handed in at once, each step waits for the one before it, and the clock runs until the last saga is written down as succeeded.`,
    'Both sides call the same service, whose barrier is ours and reads the names of a branch in our headers as well as in the query of DTM: one transaction with one UPDATE a branch.',
    `"${BRANCHES}": the same transactions behind the same barrier in the same process, as fast as its connections allow; no call, no coordinator.`,
    'DTM itself is not run; see `two-phase` for what is replayed and what cannot be compared.',
  ],
  async run(bench) {
    await using opened = new Opened()
    const service = await bench.servers.database()
    await service.pool.query(BUSINESS_SCHEMA)
    const branches = opened.use(
      await startWorker<BranchServiceCommands>('branch-service', {
        database: service.url,
      } satisfies BranchServiceConfig),
    )
    const branchUrl = await branches.call('url')
    const ours = await openOurs(bench, opened, branchUrl)
    const theirs = await openTheirs(bench, opened, branchUrl)
    const carryOut = async (way: Way, sagas: number) => {
      await Promise.all([way.store.pool.query(way.truncate), service.pool.query('truncate postcommit.barrier')])
      return await run(branches, way, sagas)
    }
    const contendersOf = (sagas: number, theirSagas: number) => ({
      postcommit: () => carryOut(ours, sagas),
      [DTM]: () => carryOut(theirs, theirSagas),
      [BRANCHES]: async () => (await branches.call('transact', 2 * sagas)) / 2,
    })
    // A quick run warms up as long as a full one: before some thousand calls the code is not what it will be.
    for (const warmUp of Object.values(contendersOf(3000, 1000))) await warmUp()
    const contenders = contendersOf(bench.scale(3000, 1500), bench.scale(1000, 500))
    const samples = await alternate(contenders, bench.rounds, (name, rate) =>
      bench.progress(`${name} ${Math.round(rate)}/s`),
    )
    return [
      read(samples, {
        name: 'sagas of two branches with barriers',
        unit: 'sagas/s',
        ours: 'postcommit',
        limit: BRANCHES,
        peers: [DTM],
        goals: [atLeast(1000), ratioAtLeast(DTM, 3)],
      }),
    ]
  },
}

interface Way {
  readonly initiator: Worker<SagaInitiatorCommands>
  readonly store: BenchDatabase
  readonly truncate: string
  readonly count: string
}

async function openOurs({ servers }: Bench, opened: Opened, branchUrl: string): Promise<Way> {
  const store = await servers.database()
  const relay = opened.use(
    await startWorker<CoordinatorCommands>('coordinator', {
      database: store.url,
      destinations: { branches: { url: branchUrl, concurrency: CONCURRENCY } },
    } satisfies CoordinatorConfig),
  )
  const url = await relay.call('url')
  return {
    initiator: await initiator(opened, { contender: 'postcommit', url, branchUrl }),
    store,
    truncate: 'truncate postcommit.global_transaction, postcommit.branch, postcommit.branch_attempt',
    count: `select count(*)::int as count from postcommit.global_transaction where status = 'succeed'`,
  }
}

async function openTheirs({ servers }: Bench, opened: Opened, branchUrl: string): Promise<Way> {
  const store = await servers.database({ empty: true })
  await store.pool.query(DTM_STORE_SCHEMA)
  const replay = opened.use(
    await startWorker<DtmReplayCommands>('dtm-replay', { database: store.url } satisfies DtmReplayConfig),
  )
  const url = await replay.call('url')
  return {
    initiator: await initiator(opened, { contender: 'dtm', url, branchUrl }),
    store,
    truncate: 'truncate trans_global, trans_branch_op',
    count: `select count(*)::int as count from trans_global where status = 'succeed'`,
  }
}

async function initiator(opened: Opened, config: Omit<SagaInitiatorConfig, 'concurrency'>) {
  return opened.use(
    await startWorker<SagaInitiatorCommands>('saga-initiator', {
      ...config,
      concurrency: CONCURRENCY,
    } satisfies SagaInitiatorConfig),
  )
}

/** Resolves to sagas per second. */
async function run(branches: Worker<BranchServiceCommands>, { initiator, store, count }: Way, sagas: number) {
  await branches.call('reset')
  const startedAt = performance.now()
  const until = async (least: number, look: () => Promise<number>) => {
    while ((await look()) < least) {
      if (performance.now() - startedAt > PATIENCE_MS) throw new Error(`not done within ${PATIENCE_MS} ms`)
      await sleep(LOOK_MS)
    }
  }
  await initiator.call('submit', sagas)
  await until(2 * sagas, () => branches.call('answered'))
  await until(sagas, async () => (await store.pool.query<{ count: number }>(count)).rows[0]?.count ?? 0)
  return (sagas / (performance.now() - startedAt)) * 1000
}
