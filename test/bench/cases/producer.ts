import { alternate } from '../alternate.ts'
import { BUSINESS_SCHEMA } from '../business.ts'
import type { Bench, Case } from '../case.ts'
import { type Measurement, ratioAtLeast, read } from '../measurement.ts'
import { startWorker, type Worker } from '../worker.ts'
import type { Keys, ProducerCommands, ProducerConfig } from '../workers/producer.ts'

type Contender = ProducerConfig['contender']
type Producer = Worker<ProducerCommands>

const CONNECTIONS = [1, 8, 32]
const PEERS = ['pg-boss', 'graphile-worker', 'pg-transactional-outbox'] as const
const CONTENDERS = ['pg', 'outbox over pg', 'kysely', 'outbox over kysely', ...PEERS] as const

const PLAIN = 'the same transaction without an outbox'
const PLAIN_KYSELY = 'the same transaction without an outbox, through Kysely'

/** Who is measured, and with which keys. */
const TURNS: Readonly<Record<string, readonly [Contender, Keys]>> = {
  [PLAIN]: ['pg', 'unkeyed'],
  unkeyed: ['outbox over pg', 'unkeyed'],
  'distinct keys': ['outbox over pg', 'distinct'],
  [PLAIN_KYSELY]: ['kysely', 'unkeyed'],
  'through Kysely': ['outbox over kysely', 'unkeyed'],
}
const TURNS_OF_SOME: typeof TURNS = {
  'hot key': ['outbox over pg', 'hot'],
  'pg-boss': ['pg-boss', 'unkeyed'],
  'graphile-worker': ['graphile-worker', 'unkeyed'],
  'pg-transactional-outbox': ['pg-transactional-outbox', 'unkeyed'],
}

/** What an outbox costs the business transaction that writes into it. */
export const producer: Case = {
  name: 'producer',
  title: 'What `outbox.commit()` costs the transaction that it commits',
  caveats: [
    'The business transaction is one SELECT, one INSERT and one UPDATE in three round trips between BEGIN and COMMIT. The shorter the transaction, the more a message weighs in it.',
    'Messages of one hot key are serialised by design: each commit waits for the one before it, as if the transactions updated one row. No goal is set for it.',
    'The peers write their row into the same transaction in the way they document. pg-boss and graphile-worker promise no order per key; graphile-worker also wakes its workers from inside the transaction.',
  ],
  async run(bench) {
    const started = await Promise.all(CONTENDERS.map(async (name) => [name, await start(bench, name)] as const))
    const producers = new Map(started)
    try {
      const measured: Measurement[] = []
      for (const connections of CONNECTIONS) measured.push(...(await measureAt(bench, producers, connections)))
      return measured
    } finally {
      await Promise.all([...producers.values()].map((producer) => producer.stop()))
    }
  },
}

async function start({ servers }: Bench, contender: Contender): Promise<Producer> {
  const database = await servers.database()
  await database.pool.query(BUSINESS_SCHEMA)
  return await startWorker<ProducerCommands>('producer', {
    database: database.url,
    contender,
  } satisfies ProducerConfig)
}

async function measureAt(
  bench: Bench,
  producers: ReadonlyMap<Contender, Producer>,
  connections: number,
): Promise<Measurement[]> {
  const withPeers = connections === 8 || (connections === 32 && !bench.quick)
  const turns = { ...TURNS, ...(withPeers ? TURNS_OF_SOME : {}) }
  const contenders = Object.entries(turns).map(([name, [contender, keys]]) => {
    const run = (ms: number) =>
      producers.get(contender)?.call('run', connections, ms, keys) ?? Promise.reject(contender)
    return [name, run] as const
  })
  for (const [name, run] of contenders) {
    bench.progress(`warming up ${name}, ${connections} connections`)
    await run(bench.scale(1000, 150))
  }
  const samples = await alternate(
    Object.fromEntries(contenders.map(([name, run]) => [name, () => run(bench.scale(700, 230))])),
    bench.rounds + 2,
    (name, value) => bench.progress(`${name}, ${connections} connections: ${Math.round(value)}/s`),
  )
  const at = `${connections} connection${connections === 1 ? '' : 's'}`
  const unit = 'commits/s'
  return [
    read(samples, {
      name: `commit() through pg, ${at}`,
      unit,
      ours: 'unkeyed',
      limit: PLAIN,
      peers: withPeers ? PEERS : [],
      goals: [ratioAtLeast(PLAIN, 0.9)],
    }),
    read(samples, {
      name: `commit() through pg with a key of its own, ${at}`,
      unit,
      ours: 'distinct keys',
      limit: 'unkeyed',
      goals: [ratioAtLeast('unkeyed', 0.95)],
    }),
    ...(withPeers
      ? [read(samples, { name: `commit() with one hot key, ${at}`, unit, ours: 'hot key', limit: 'unkeyed' })]
      : []),
    read(samples, {
      name: `commit() through Kysely, ${at}`,
      unit,
      ours: 'through Kysely',
      limit: PLAIN_KYSELY,
      goals: [ratioAtLeast(PLAIN_KYSELY, 0.8)],
    }),
  ]
}
