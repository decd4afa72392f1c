import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { parseSnapshot } from '../../../relay/engine/snapshot.ts'
import { READER_OPTIONS } from '../../../relay/postgres/sessions.ts'
import { selectWindow, type WindowRange } from '../../../relay/store/log/select-window.ts'
import { applyMigrations } from '../../../relay/store/migrate.ts'
import { alternate, quiet } from '../alternate.ts'
import { drainBacklog, insertOf } from '../backlog.ts'
import type { Bench, Case, Prepared } from '../case.ts'
import { atMost, type Measurement, ratioAtMost, read, spread } from '../measurement.ts'
import { layPipe, type Pipe } from '../pipe.ts'
import type { Usage } from '../worker.ts'

const MILLION = 1_000_000
const BYTES = 200
const OPEN_MS = 60_000
const READS = 200
const FEW = 'with 10,000 waiting'
const MANY = 'with 1,000,000 waiting'

/** What becomes more expensive when more waits, or when a transaction is left open. */
export const growth: Case = {
  name: 'growth',
  title: 'What grows with the backlog, and what does not',
  caveats: [
    'The cost of a message is the time of a drain divided by its messages; small backlogs carry the start of the drain.',
    'The open transaction is one in a PostgreSQL of its own, so that it holds up no other measurement; it has drawn its id before a million messages were written and handed on, and stays open for the time that the table says.',
  ],
  prepare: holdTransaction,
  async run(bench) {
    await using pipe = await layPipe(bench.servers)
    await drain(pipe, 50_000)
    return [...(await measureCost(bench, pipe)), ...(bench.quick ? [] : [await measureRetention(bench, pipe)])]
  },
}

async function drain({ database, stream }: Pipe, count: number): Promise<number> {
  return await drainBacklog({ database, stream, count, bytes: BYTES })
}

async function measureCost(bench: Bench, pipe: Pipe): Promise<readonly Measurement[]> {
  const halves: (readonly [first: Usage, second: Usage])[] = []
  const costOf = (count: number) => async () => ((await drain(pipe, count)) * 1000) / count
  const few = await alternate({ [FEW]: costOf(10_000) }, bench.scale(9, 5))
  const others = await alternate(
    { 'with 1,000 waiting': costOf(1000), 'with 100,000 waiting': costOf(100_000) },
    bench.scale(5, 1),
  )
  const many: number[] = []
  for (let round = 0; round < bench.scale(2, 1); round += 1) {
    bench.progress('a million')
    const [cost, usages] = await watched(pipe, costOf(MILLION))
    many.push(cost)
    halves.push(usages)
  }
  // Both in the median round: there are fewer rounds of a million than of ten thousand.
  const samples = { ...others, [FEW]: many.map(() => spread(few[FEW]).median), [MANY]: many }
  const cost = read(samples, {
    name: 'cost of a message',
    unit: 'µs',
    ours: MANY,
    peers: [FEW],
    better: 'lower',
    goals: [ratioAtMost(FEW, 1.2)],
    note: Object.entries(others)
      .map(([name, values]) => `${name}: ${spread(values).median.toFixed(1)} µs`)
      .join('; '),
  })
  return [cost, ...memory(halves)]
}

/** Watches the relay in the first half of a drain of a million and in the second. */
async function watched(
  { stream, relays }: Pipe,
  work: () => Promise<number>,
): Promise<readonly [number, readonly [Usage, Usage]]> {
  const [relay] = relays
  if (relay === undefined) throw new Error('there is no relay')
  await relay.watch()
  const done = work()
  while ((await stream.count()) < MILLION / 2) await sleep(100)
  const first = await relay.usage()
  await relay.watch()
  return [await done, [first, await relay.usage()]]
}

function memory(halves: readonly (readonly [Usage, Usage])[]): readonly Measurement[] {
  const first = halves.map(([half]) => half.rssMb.max)
  const second = halves.map(([, half]) => half.rssMb.max)
  const delay = (of: keyof Usage['eventLoopDelayMs']) => halves.flat().map((half) => half.eventLoopDelayMs[of])
  return [
    read(
      { 'second half': second, 'first half': first },
      {
        name: 'memory of the relay while it drains a million (RSS)',
        unit: 'MB',
        ours: 'second half',
        peers: ['first half'],
        better: 'lower',
        goals: [atMost(200), ratioAtMost('first half', 1.1)],
      },
    ),
    read(
      { p99: delay('p99') },
      {
        name: 'delay of the event loop of the relay while it drains a million, p99',
        unit: 'ms',
        ours: 'p99',
        better: 'lower',
        note: `Half of the samples are below ${spread(delay('p50')).median.toFixed(1)} ms; the longest is ${spread(delay('max')).max.toFixed(0)} ms. It is sampled every 10 ms, which are part of the figures.`,
      },
    ),
  ]
}

async function measureRetention(bench: Bench, retained: Pipe): Promise<Measurement> {
  await using empty = await layPipe(bench.servers)
  const count = 100_000
  const rateOf = (pipe: Pipe) => async () => (1000 * count) / (await drain(pipe, count))
  await drain(empty, count)
  const samples = await alternate(
    { 'behind millions that are kept': rateOf(retained), 'in a new database': rateOf(empty) },
    bench.rounds,
    bench.progress,
  )
  return read(samples, {
    name: `drain of ${count} messages in a log that keeps what was published`,
    unit: 'messages/s',
    ours: 'behind millions that are kept',
    peers: ['in a new database'],
  })
}

/** Starts a PostgreSQL in which a transaction has been open since before a million messages were written. */
async function holdTransaction(bench: Bench): Promise<Prepared> {
  bench.progress('writing what an open transaction holds')
  const server = await bench.servers.postgresAside()
  const forgetful = new pg.Client({ connectionString: server.url })
  const reader = new pg.Client({ connectionString: server.url, options: READER_OPTIONS })
  // The server may end before them, if the bench is interrupted.
  for (const client of [forgetful, reader]) client.on('error', () => undefined)
  await Promise.all([forgetful.connect(), reader.connect()])
  await applyMigrations(reader, 'bench')
  await forgetful.query('begin')
  await forgetful.query('select pg_current_xact_id()')
  const openedAt = performance.now()
  await reader.query(insertOf({ stream: { prefix: 'held' }, count: MILLION, bytes: 50 }))
  await reader.query('analyze postcommit.outbox')
  // Now, and not while something else is measured.
  await reader.query('checkpoint')
  return { measure: async (bench) => [await measureRead(bench, { reader, forgetful, openedAt })] }
}

interface HeldSessions {
  readonly reader: pg.Client
  /** The session with the open transaction. */
  readonly forgetful: pg.Client
  readonly openedAt: number
}

async function measureRead(bench: Bench, { reader, forgetful, openedAt }: HeldSessions): Promise<Measurement> {
  const seconds = () => Math.round((performance.now() - openedAt) / 1000)
  for (; performance.now() - openedAt < OPEN_MS; await sleep(500)) bench.progress('waiting for it to be 60 s')
  await quiet()
  // Everything has been handed on; what is below `low` cannot be new: nothing is, as long as the transaction is open.
  const behind = await timesOf(reader, await rangeOf(reader, 0n), bench.rounds)
  const opened = seconds()
  await forgetful.query('rollback')
  const without = await timesOf(reader, await rangeOf(reader, BigInt(MILLION)), bench.rounds)
  await Promise.all([forgetful.end(), reader.end()])
  return read(
    { behind, without },
    {
      name: `one read of the log, behind a transaction that has been open for ${opened} s with a million handed on`,
      unit: 'ms',
      ours: 'behind',
      peers: ['without'],
      better: 'lower',
      goals: [ratioAtMost('without', 2)],
    },
  )
}

async function rangeOf(reader: pg.Client, floor: bigint): Promise<WindowRange> {
  const { rows } = await reader.query<{ snapshot: string }>('select pg_current_snapshot()::text as snapshot')
  return { after: parseSnapshot(rows[0]?.snapshot ?? ''), floor, slotFirst: 0, slotLast: 63 }
}

/** The median of some hundred reads, as often as there are rounds. */
async function timesOf(reader: pg.Client, range: WindowRange, rounds: number): Promise<readonly number[]> {
  const medians: number[] = []
  for (let round = 0; round <= rounds; round += 1) {
    const times: number[] = []
    for (let n = 0; n < READS; n += 1) {
      const startedAt = performance.now()
      await selectWindow(reader, range, { rows: 2001, bytes: Number.MAX_SAFE_INTEGER })
      times.push(performance.now() - startedAt)
    }
    medians.push(spread(times).median)
  }
  // The first is the warm-up.
  return medians.slice(1)
}
