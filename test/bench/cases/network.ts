import { alternate } from '../alternate.ts'
import { BUSINESS_SCHEMA } from '../business.ts'
import type { Bench, Case } from '../case.ts'
import { type Measurement, ratioAtLeast, read } from '../measurement.ts'
import { Opened } from '../opened.ts'
import { startWorker, type Worker } from '../worker.ts'
import type { ProducerCommands, ProducerConfig } from '../workers/producer.ts'
import type { SlowNetworkCommands, SlowNetworkConfig } from '../workers/slow-network.ts'

const DELAY_MS = 0.5
const CONNECTIONS = [1, 8]

type Contender = ProducerConfig['contender']

/** Ways to commit, each beside the same transaction without an outbox, and what its rate is to be of that one. */
const WAYS: readonly { readonly name: string; readonly ours: Contender; readonly bare: Contender; goal?: number }[] = [
  { name: 'through pg', ours: 'outbox over pg', bare: 'pg', goal: 1.1 },
  { name: 'through Kysely', ours: 'outbox over kysely', bare: 'kysely' },
]

/** What round trips cost where the database is on another machine. */
export const network: Case = {
  name: 'network',
  title: `What \`outbox.commit()\` costs where the database is ${DELAY_MS} ms away`,
  caveats: [
    `Everything is on one machine; a proxy in a process of its own delays what service and PostgreSQL send by ${DELAY_MS} ms each way. It looks at the clock meanwhile and takes a processor for that, from all contenders.`,
    'The business transaction is that of `producer`: five round trips with BEGIN and COMMIT. With the outbox BEGIN goes with the first statement and the message with COMMIT: four.',
  ],
  async run(bench) {
    await using opened = new Opened()
    const { postgres } = bench.servers
    const target = new URL(postgres.url)
    const proxy = opened.use(
      await startWorker<SlowNetworkCommands>('slow-network', {
        ...{ host: target.hostname, port: Number(target.port), delayMs: DELAY_MS },
      } satisfies SlowNetworkConfig),
    )
    const port = await proxy.call('port')
    const measured: Measurement[] = []
    for (const { name, ours, bare, goal } of WAYS) {
      const contenders = {
        ours: await producer(bench, opened, ours, port),
        [PLAIN]: await producer(bench, opened, bare, port),
      }
      for (const connections of CONNECTIONS) {
        const goals = goal === undefined ? [] : [ratioAtLeast(PLAIN, goal)]
        const at = `${connections} connection${connections === 1 ? '' : 's'}`
        const reading = { name: `commit() ${name} over the network, ${at}`, unit: 'commits/s', goals }
        const samples = await measureAt(bench, contenders, connections)
        measured.push(read(samples, { ...reading, ours: 'ours', limit: PLAIN }))
        if (connections === 1) measured.push(await countSent(contenders, proxy, name))
      }
    }
    return measured
  },
}

/** How often a commit sends something to the database and waits: a figure that depends little on the machine. */
async function countSent(contenders: Contenders, proxy: Worker<SlowNetworkCommands>, name: string) {
  const samples: Record<keyof Contenders, number[]> = { ours: [], [PLAIN]: [] }
  for (const contender of ['ours', PLAIN] as const) {
    const before = await proxy.call('sent')
    const startedAt = performance.now()
    const perSecond = await contenders[contender].call('run', 1, COUNT_MS, 'unkeyed')
    const commits = (perSecond * (performance.now() - startedAt)) / 1000
    samples[contender].push(((await proxy.call('sent')) - before) / commits)
  }
  return read(samples, {
    ...{ name: `round trips of commit() ${name}, 1 connection`, unit: 'round trips', ours: 'ours', limit: PLAIN },
    better: 'lower',
    note: 'With the wake-ups of the relay, of which there is one every ten milliseconds at most.',
  })
}

type Contenders = Readonly<Record<'ours' | typeof PLAIN, Worker<ProducerCommands>>>

const COUNT_MS = 1000
const PLAIN = 'the same transaction without an outbox'

async function producer({ servers }: Bench, opened: Opened, contender: Contender, port: number) {
  const { pool, url } = await servers.database()
  await pool.query(BUSINESS_SCHEMA)
  const database = new URL(url)
  database.port = String(port)
  const config: ProducerConfig = { database: database.href, contender }
  return opened.use(await startWorker<ProducerCommands>('producer', config))
}

async function measureAt(bench: Bench, contenders: Contenders, connections: number) {
  const run = (name: keyof typeof contenders, ms: number) => contenders[name].call('run', connections, ms, 'unkeyed')
  for (const name of ['ours', PLAIN] as const) await run(name, bench.scale(1500, 1000))
  return await alternate(
    { ours: () => run('ours', bench.scale(1000, 500)), [PLAIN]: () => run(PLAIN, bench.scale(1000, 500)) },
    bench.rounds,
    (name, value) => bench.progress(`${name}, ${connections} connections: ${Math.round(value)}/s`),
  )
}
