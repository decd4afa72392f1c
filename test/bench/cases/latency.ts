import { setTimeout as sleep } from 'node:timers/promises'
import type { NatsConnection } from '@nats-io/transport-node'
import { parseMessageId } from 'postcommit/protocol'
import { type Contender, quiet } from '../alternate.ts'
import { drained, insertOf } from '../backlog.ts'
import type { Bench, Case } from '../case.ts'
import { atMost, type Measurement, read, type Samples } from '../measurement.ts'
import { layPipe, type Pipe } from '../pipe.ts'
import { startWorker, type Worker } from '../worker.ts'
import type { Commit, PacedProducerCommands, PacedProducerConfig } from '../workers/paced-producer.ts'

const CONNECTIONS = 8
const ARRIVAL_MS = 2000

/** How long a message takes when there is no backlog. */
export const latency: Case = {
  name: 'latency',
  title: 'From the answer to COMMIT to the acknowledgement of the broker',
  caveats: [
    "The clock starts when `commit()` resolves in the service and stops when JetStream's acknowledgement arrives at a third process that listens to the same inbox as the relay; all three read the monotonic clock of the machine. A message that is acknowledged before its `commit()` has resolved counts as 0.",
    'Arrivals are random (exponential gaps), over 8 connections, and wait for nothing; timers of Node.js round them to whole milliseconds, so that at 1,000/s some come in pairs.',
    'Everything is on one machine: no network, and PostgreSQL, nats-server, service and relay share the processors.',
  ],
  async run(bench) {
    const inboxPrefix = 'bench_acks'
    await using pipe = await layPipe(bench.servers, 1, inboxPrefix)
    await using producer = await startWorker<PacedProducerCommands>('paced-producer', {
      database: pipe.database.url,
      topic: `${pipe.stream.prefix}.bench`,
      connections: CONNECTIONS,
    } satisfies PacedProducerConfig)
    using acks = listen(bench.servers.connection, pipe, inboxPrefix)
    const rig = { bench, producer, acks }
    await round(rig, 1000, 1000)
    const slow = await measure(rig, 100)
    const fast = await measure(rig, 1000)
    return bench.quick ? [...slow, ...fast] : [...slow, ...fast, await steady(bench, pipe)]
  },
}

interface Rig {
  readonly bench: Bench
  readonly producer: Worker<PacedProducerCommands>
  readonly acks: Acks
}

type Point = 'p50' | 'p99' | 'max'

async function measure(rig: Rig, perSecond: number): Promise<readonly Measurement[]> {
  const { bench } = rig
  const ms = bench.scale(6000, perSecond > 100 ? 2000 : 3000)
  const samples: Record<Point, number[]> = { p50: [], p99: [], max: [] }
  for (let n = 0; n < bench.rounds; n += 1) {
    await quiet()
    const sorted = await round(rig, perSecond, ms)
    samples.p50.push(quantile(sorted, 0.5))
    samples.p99.push(quantile(sorted, 0.99))
    samples.max.push(quantile(sorted, 1))
    bench.progress(`${perSecond}/s: p50 ${samples.p50.at(-1)?.toFixed(2)} ms`)
  }
  const reading = (ours: Point, goal?: number) =>
    read(samples satisfies Samples<Point>, {
      name: `commit to acknowledgement at ${perSecond}/s, ${ours}`,
      unit: 'ms',
      ours,
      better: 'lower',
      ...(goal === undefined ? {} : { goals: [atMost(goal)] }),
    })
  return [reading('p50', 1.5), reading('p99', 8), reading('max')]
}

/** One round's times from commit to acknowledgement, sorted. */
async function round({ producer, acks }: Rig, perSecond: number, ms: number): Promise<readonly number[]> {
  const commits = await producer.call('produce', perSecond, ms)
  const times = await Promise.all(
    commits.map(async ({ gid, atMs }: Commit) => Math.max(0, (await acks.of(gid)) - atMs)),
  )
  return times.sort((a, b) => a - b)
}

function quantile(sorted: readonly number[], q: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? Number.NaN
}

interface Acks extends Disposable {
  /** When the message of this transaction was acknowledged. Rejects if that takes longer than any sane delay. */
  of(gid: string): Promise<number>
}

/**
 * Sees each publish and, by its reply subject, each acknowledgement: JetStream sends it to the relay and here at once.
 */
function listen(connection: NatsConnection, { stream }: Pipe, inboxPrefix: string): Acks {
  // By the reply subject of the publish; the two kinds may overtake each other.
  const replyOf = new Map<string, string>()
  const ackedAt = new Map<string, number>()
  const publishes = connection.subscribe(`${stream.prefix}.>`, {
    callback(_error, message) {
      const id = parseMessageId(message.headers?.get('Nats-Msg-Id') ?? '')
      if (id !== undefined && message.reply !== undefined) replyOf.set(id.gid, message.reply)
    },
  })
  const answers = connection.subscribe(`${inboxPrefix}.>`, {
    callback: (_error, message) => void ackedAt.set(message.subject, nowMs()),
  })
  return {
    async of(gid) {
      for (const until = performance.now() + ARRIVAL_MS; performance.now() < until; await sleep(10)) {
        const at = ackedAt.get(replyOf.get(gid) ?? '')
        if (at !== undefined) return at
      }
      throw new Error(`${gid} was committed and not acknowledged within ${ARRIVAL_MS} ms`)
    },
    [Symbol.dispose]() {
      publishes.unsubscribe()
      answers.unsubscribe()
    },
  }
}

function nowMs(): number {
  return Number(process.hrtime.bigint()) / 1e6
}

const STEADY_MS = 30_000
const EACH = 50
const STEP = 5000

/** The highest rate, in steps, at which what waits after 30 s is no more than half a second's messages. */
async function steady(bench: Bench, { database, stream }: Pipe): Promise<Measurement> {
  const insert = insertOf({ stream, count: EACH, bytes: 200 })
  const commit: Contender = () => database.pool.query(insert).then(() => EACH)
  const holds = async (perSecond: number, ms: number): Promise<boolean> => {
    await stream.purge()
    const startedAt = performance.now()
    let sent = 0
    while (performance.now() - startedAt < ms) {
      const owed = (perSecond * (performance.now() - startedAt)) / 1000 - sent
      const batches = Math.min(4, Math.floor(owed / EACH))
      if (batches === 0) await sleep(1)
      for (const count of await Promise.all(Array.from({ length: batches }, commit))) sent += count
    }
    const waiting = sent - (await stream.count())
    await drained(database, stream, sent, performance.now())
    bench.progress(`${perSecond}/s for ${ms / 1000} s: ${waiting} wait`)
    return sent > 0.98 * ((perSecond * ms) / 1000) && waiting < perSecond / 2
  }
  let rate = STEP
  while (await holds(rate + STEP, STEADY_MS / 6)) rate += STEP
  while (rate > STEP && !(await holds(rate, STEADY_MS))) rate -= STEP
  return read(
    { postcommit: [rate] },
    {
      name: 'highest rate at which the backlog does not grow for 30 s',
      unit: 'messages/s',
      ours: 'postcommit',
      note: `Transactions of ${EACH} messages of 200 B over 4 connections of the same machine, in steps of ${STEP}.`,
    },
  )
}
