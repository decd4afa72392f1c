import { setTimeout as sleep } from 'node:timers/promises'
import { BUSINESS_SCHEMA } from './business.ts'
import type { Bench } from './case.ts'
import type { Opened } from './opened.ts'
import type { BenchDatabase, BenchStream } from './servers.ts'
import { startWorker, type Worker } from './worker.ts'
import type { AnnouncingServiceCommands, AnnouncingServiceConfig, Events } from './workers/announcing-service.ts'
import type { BranchServiceCommands, BranchServiceConfig } from './workers/branch-service.ts'
import type { CoordinatorCommands, CoordinatorConfig } from './workers/coordinator.ts'
import type { RelayCommands, RelayConfig } from './workers/relay.ts'
import type { SagaInitiatorCommands, SagaInitiatorConfig } from './workers/saga-initiator.ts'

/** One sort of work, with all that takes part in it. */
export interface Room {
  /** Service and relay, whose processor time counts. */
  readonly clients: readonly Pick<Worker<never>, 'watch' | 'usage'>[]
  /** Does so many; resolves when the last of them has arrived. */
  run(count: number): Promise<void>
  /** How many rows of postcommit's tables have been written, once all clients are gone. */
  readonly rowWrites: () => Promise<number>
}

/** Opens a room; what is opened is closed by its owner. */
type Open = (bench: Bench, opened: Opened) => Promise<Room>

/** Where rooms are opened: on which server, and how many are under way at once. */
export interface RoomOptions {
  readonly server: string
  readonly atOnce: number
}

const EVENTS = 3
const PATIENCE_MS = 60_000
const LOOK_MS = 5

/** Every sort of work, by its name. */
export function inRooms(options: RoomOptions): readonly (readonly [name: string, open: Open])[] {
  return [
    ['the local transaction alone', (bench, opened) => openBare(bench, opened, options)],
    ['a message', (bench, opened) => openOutbox(bench, opened, options, 1)],
    ['a call', (bench, opened) => openOutbox(bench, opened, options, 0)],
    ['a two-phase message of one call', (bench, opened) => openTwoPhase(bench, opened, options, 0)],
    ['a two-phase message of one event', (bench, opened) => openTwoPhase(bench, opened, options, 1)],
    ['a two-phase message of three events', (bench, opened) => openTwoPhase(bench, opened, options, EVENTS)],
    ['a saga of two branches', (bench, opened) => openSaga(bench, opened, options)],
  ]
}

async function openBare({ servers }: Bench, opened: Opened, { server, atOnce }: RoomOptions): Promise<Room> {
  const database = await businessDatabase(servers.database({ server }))
  const service = await announcer(opened, { contender: 'bare', database: database.url, connections: atOnce, url: '' })
  return { clients: [service], run: (count) => service.call('commit', count), rowWrites: rowWritesOf(database) }
}

async function openOutbox({ servers }: Bench, opened: Opened, { server, atOnce }: RoomOptions, events: number) {
  const [database, stream, called] = await Promise.all([
    businessDatabase(servers.database({ server })),
    servers.stream(),
    branchService(opened, {}),
  ])
  const relay = opened.use(
    await startWorker<RelayCommands>('relay', {
      database: database.url,
      nats: servers.nats.url,
      stream: { name: stream.name, subjects: stream.subjects },
      destinations: { stock: { url: called.url, concurrency: 2 * atOnce } },
    } satisfies RelayConfig),
  )
  const service = await announcer(opened, {
    contender: 'outbox',
    ...{ database: database.url, connections: atOnce, url: '' },
  })
  const arrived = arrivals(events, stream, called)
  return {
    clients: [service, relay],
    run: (count: number) => arrived(count, () => service.call('commit', count, eventsOf(stream, events))),
    rowWrites: rowWritesOf(database),
  }
}

async function openTwoPhase({ servers }: Bench, opened: Opened, { server, atOnce }: RoomOptions, events: number) {
  const [database, store, stream, called] = await Promise.all([
    businessDatabase(servers.database({ server })),
    servers.database({ server }),
    servers.stream(),
    branchService(opened, {}),
  ])
  const destination = { url: called.url, concurrency: 2 * atOnce }
  const relay = opened.use(
    await startWorker<CoordinatorCommands>('coordinator', {
      database: store.url,
      destinations: { stock: destination, orders: destination },
      nats: { url: servers.nats.url, stream: stream.name, subjects: stream.subjects },
    } satisfies CoordinatorConfig),
  )
  const service = await announcer(opened, {
    contender: 'two-phase',
    ...{ database: database.url, connections: atOnce, url: await relay.call('url') },
  })
  const arrived = arrivals(events, stream, called)
  return {
    clients: [service, relay],
    run: (count: number) => arrived(count, () => service.call('commit', count, eventsOf(stream, events))),
    rowWrites: rowWritesOf(database, store),
  }
}

async function openSaga({ servers }: Bench, opened: Opened, { server, atOnce }: RoomOptions): Promise<Room> {
  const [database, store] = await Promise.all([
    businessDatabase(servers.database({ server })),
    servers.database({ server }),
  ])
  const called = await branchService(opened, { database: database.url })
  const relay = opened.use(
    await startWorker<CoordinatorCommands>('coordinator', {
      database: store.url,
      destinations: { branches: { url: called.url, concurrency: 2 * atOnce } },
    } satisfies CoordinatorConfig),
  )
  const initiator = opened.use(
    await startWorker<SagaInitiatorCommands>('saga-initiator', {
      ...{ contender: 'postcommit', url: await relay.call('url'), branchUrl: called.url, concurrency: atOnce },
    } satisfies SagaInitiatorConfig),
  )
  return {
    clients: [initiator, relay, called.worker],
    async run(count) {
      await called.worker.call('reset')
      await initiator.call('submit', count)
      await until(2 * count, () => called.worker.call('answered'))
    },
    rowWrites: rowWritesOf(database, store),
  }
}

async function businessDatabase(creating: Promise<BenchDatabase>): Promise<BenchDatabase> {
  const database = await creating
  await database.pool.query(BUSINESS_SCHEMA)
  return database
}

async function announcer(opened: Opened, config: Omit<AnnouncingServiceConfig, 'branchUrl'>) {
  return opened.use(
    await startWorker<AnnouncingServiceCommands>('announcing-service', {
      ...config,
      branchUrl: '',
    } satisfies AnnouncingServiceConfig),
  )
}

async function branchService(opened: Opened, config: BranchServiceConfig) {
  const worker = opened.use(await startWorker<BranchServiceCommands>('branch-service', config))
  return { worker, url: await worker.call('url') }
}

/** Waits for events in the stream, or for calls at the service. No statement is made for it. */
function arrivals(
  events: number,
  stream: { count(): Promise<number>; purge(): Promise<void> },
  { worker }: { readonly worker: Worker<BranchServiceCommands> },
) {
  return async (count: number, commit: () => Promise<void>): Promise<void> => {
    await (events > 0 ? stream.purge() : worker.call('reset'))
    await commit()
    await until(Math.max(1, events) * count, () => (events > 0 ? stream.count() : worker.call('answered')))
  }
}

function eventsOf({ prefix }: BenchStream, count: number): Events | undefined {
  return count === 0 ? undefined : { topic: `${prefix}.order`, count }
}

async function until(least: number, look: () => Promise<number>): Promise<void> {
  for (const end = performance.now() + PATIENCE_MS; performance.now() < end; await sleep(LOOK_MS)) {
    if ((await look()) >= least) return
  }
  throw new Error(`not done within ${PATIENCE_MS} ms`)
}

/** What is written for many at once (a position, a relay's proof of life, a claim) depends on the time, and is left out. */
function rowWritesOf(...databases: readonly BenchDatabase[]): Room['rowWrites'] {
  return async () => {
    let sum = 0
    for (const { pool } of databases) {
      const { rows } = await pool.query<{ writes: number }>(
        `select coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0)::int as writes from pg_stat_all_tables
         where schemaname = 'postcommit' and relname !~ '^(position|relay|claim|shard)'`,
      )
      sum += rows[0]?.writes ?? 0
    }
    return sum
  }
}
