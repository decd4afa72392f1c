import { alternate, type Contender } from '../alternate.ts'
import { drainBacklog, drained, insertOf } from '../backlog.ts'
import type { Bench, Case } from '../case.ts'
import { atLeast, type Measurement, ratioAtLeast, read } from '../measurement.ts'
import { openPeer } from '../peers.ts'
import { layPipe, type Pipe } from '../pipe.ts'
import { startWorker } from '../worker.ts'
import type { PublishLoopCommands, PublishLoopConfig } from '../workers/publish-loop.ts'

const UNIT = 'messages/s'
const KEYS = 5000
const PLAIN = 'postcommit'
const KEYED = 'postcommit, keyed'
const LOOP = 'bare publish loop'
const CLIENT = 'js.publish of the client'
const GRAPHILE = 'graphile-worker, local queue and batched completion'
const BOSS = 'pg-boss, fetch(1000) and complete'
const GOALS = [atLeast(60_000), ratioAtLeast(LOOP, 0.5), ratioAtLeast(GRAPHILE, 2), ratioAtLeast(BOSS, 3)]

/** How fast a relay that was idle gets a backlog acknowledged. */
export const drain: Case = {
  name: 'drain',
  title: 'A backlog, to acknowledged JetStream file storage',
  caveats: [
    'The time runs from the answer to COMMIT until the stream holds every message and the saved position covers the log; that is looked at every 20 ms.',
    'The publish loops have their messages in memory and read no database; 1000 are in flight, as in the relay.',
    'graphile-worker and pg-boss drain jobs whose handlers do nothing: they publish to no broker. They write to every row, which postcommit does not. Their jobs are of 200 B in either table.',
  ],
  async run(bench) {
    const small = await measure(bench, 200)
    if (bench.quick) return small
    return [...small, ...(await measure(bench, 1024)), await severalRelays(bench), await manyTransactions(bench)]
  },
}

async function measure(bench: Bench, bytes: number): Promise<readonly Measurement[]> {
  const count = bench.scale(200_000, 100_000)
  await using field = await openField(bench, bytes)
  const contenders = field.contenders(count)
  for (const contender of Object.values(field.contenders(count / 5))) await contender()
  const samples = await alternate(contenders, bench.rounds, (name) => bench.progress(`${name}, ${bytes} B`))
  const peers = [CLIENT, GRAPHILE, BOSS] as const
  const reading = { unit: UNIT, limit: LOOP, peers, ...(bytes === 200 ? { goals: GOALS } : {}) } as const
  return [
    read(samples, { ...reading, name: `drain of ${count} messages of ${bytes} B`, ours: PLAIN }),
    read(samples, { ...reading, name: `drain of ${count} messages of ${bytes} B, ${KEYS} keys`, ours: KEYED }),
  ]
}

/** All contenders, ready to drain; those that are slow get less to do. */
async function openField({ servers }: Bench, bytes: number) {
  const other = await servers.stream()
  const loopOf = (through: PublishLoopConfig['through']) => {
    const config: PublishLoopConfig = { nats: servers.nats.url, subject: `${other.prefix}.bench`, bytes, through }
    return startWorker<PublishLoopCommands>('publish-loop', config)
  }
  const opened = await Promise.all([
    layPipe(servers),
    loopOf('relay'),
    loopOf('client'),
    openPeer(servers, 'graphile-worker', 'fastest'),
    openPeer(servers, 'pg-boss', 'fastest'),
  ])
  const [pipe, loop, client, graphile, boss] = opened
  const contenders = (count: number) => ({
    [PLAIN]: ours(pipe, count, bytes),
    [LOOP]: async () => (await loop.call('drain', count)).perSecond,
    [KEYED]: ours(pipe, count, bytes, KEYS),
    [CLIENT]: async () => (await client.call('drain', count / 5)).perSecond,
    [GRAPHILE]: () => graphile.drain(count / 5),
    [BOSS]: () => boss.drain(count / 5),
  })
  return {
    contenders,
    [Symbol.asyncDispose]: async () => {
      await Promise.all(opened.map((each) => each[Symbol.asyncDispose]()))
      await other.remove()
    },
  }
}

async function severalRelays(bench: Bench): Promise<Measurement> {
  await using one = await layPipe(bench.servers)
  await using two = await layPipe(bench.servers, 2)
  const contenders = {
    'two relays, two shards': ours(two, 200_000, 200),
    'one relay, one shard': ours(one, 200_000, 200),
  }
  await warmUp(contenders)
  return read(await alternate(contenders, bench.rounds, bench.progress), {
    name: 'drain by two relays',
    unit: UNIT,
    ours: 'two relays, two shards',
    peers: ['one relay, one shard'],
    note: 'On two processors, which PostgreSQL and nats-server need too, a second relay has little to run on.',
  })
}

/** The relay stands still (SIGSTOP) while the backlog is committed, for less than its lease. */
async function manyTransactions(bench: Bench): Promise<Measurement> {
  const count = 100_000
  const each = 20
  await using pipe = await layPipe(bench.servers)
  const { database, stream, relays } = pipe
  const insert = insertOf({ stream, count: each, bytes: 200 })
  const commitOften = async () => {
    for (let left = count / 4; left > 0; left -= each) await database.pool.query(insert)
  }
  const contenders = {
    'one transaction': ours(pipe, count, 200),
    '5,000 transactions': async () => {
      await stream.purge()
      for (const relay of relays) relay.signal('SIGSTOP')
      await Promise.all(Array.from({ length: 4 }, commitOften))
      const startedAt = performance.now()
      for (const relay of relays) relay.signal('SIGCONT')
      return (1000 * count) / (await drained(database, stream, count, startedAt))
    },
  }
  await warmUp(contenders)
  return read(await alternate(contenders, bench.rounds, bench.progress), {
    name: 'drain of 5,000 transactions of 20 messages',
    unit: UNIT,
    ours: '5,000 transactions',
    peers: ['one transaction'],
  })
}

function ours({ database, stream }: Pipe, count: number, bytes: number, keys?: number): Contender {
  return async () => (1000 * count) / (await drainBacklog({ database, stream, count, bytes, keys }))
}

async function warmUp(contenders: Readonly<Record<string, Contender>>): Promise<void> {
  for (const contender of Object.values(contenders)) await contender()
}
