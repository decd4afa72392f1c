import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { headers, type NatsConnection } from '@nats-io/transport-node'
import { ENVELOPE, messageId, NATS_MESSAGE_ID } from 'postcommit/protocol'
import { alternate } from '../alternate.ts'
import type { Case } from '../case.ts'
import { atLeast, type Measurement, ratioAtLeast, read, type Samples } from '../measurement.ts'
import type { BenchDatabase, BenchStream, Servers } from '../servers.ts'
import { startWorker } from '../worker.ts'
import type { ConsumerCommands, ConsumerConfig, Way } from '../workers/consumer.ts'

const PAYLOAD = JSON.stringify({ text: 'x'.repeat(189) })
/** Handlers at once, and connections to the database. */
const CONCURRENCY = 16
const STORED_MS = 20_000

/** What once costs: a handler's transaction with the inbox and without. */
export const consumer: Case = {
  name: 'consumer',
  title: 'Messages of a stream taken effect of, with the inbox and without',
  caveats: [
    `Through \`subscribe()\`, ${CONCURRENCY} handlers at once and as many connections; the handler makes one INSERT. Without the inbox it opens and commits a transaction of its own, and repeats its effect when a message comes again.`,
    'The loop of the client library acknowledges every message at once and one after the other, and keeps no order per key when one fails.',
  ],
  async run(bench) {
    const { servers } = bench
    const database = await servers.database()
    await database.pool.query('create table effect (gid text not null, branch integer not null, content text not null)')
    await using worker = await startWorker<ConsumerCommands>('consumer', {
      nats: servers.nats.url,
      database: database.url,
      concurrency: CONCURRENCY,
    } satisfies ConsumerConfig)
    const few = await fill(servers, bench.scale(12_000, 2000))
    const many = await fill(servers, bench.scale(60_000, 10_000))
    const take =
      (way: Way, { stream, messages }: Filled) =>
      async () => {
        await database.pool.query('truncate effect, postcommit.barrier')
        const tookMs = await worker.call('handle', way, stream.name, `${way}_${randomUUID().slice(0, 8)}`, messages)
        if (way === 'inbox' || way === 'transaction') await checkEffects(database, messages)
        return (messages / tookMs) * 1000
      }
    const contenders = {
      'subscribe() with the inbox': take('inbox', few),
      'subscribe() with a bare transaction': take('transaction', few),
      'subscribe(), nothing to do': take('nothing', many),
      'consume() of the client library': take('library', many),
    }
    for (const warmUp of Object.values(contenders)) await warmUp()
    return readAll(
      await alternate(contenders, bench.rounds, (name, rate) => bench.progress(`${name} ${Math.round(rate)}/s`)),
    )
  },
}

type Row =
  | 'subscribe() with the inbox'
  | 'subscribe() with a bare transaction'
  | 'subscribe(), nothing to do'
  | 'consume() of the client library'

function readAll(samples: Samples<Row>): readonly Measurement[] {
  const limit = 'subscribe() with a bare transaction'
  return [
    read(samples, {
      name: 'Consumer, effects through the inbox',
      unit: 'effects/s',
      ours: 'subscribe() with the inbox',
      limit,
      goals: [atLeast(3000), ratioAtLeast(limit, 0.6)],
    }),
    read(samples, {
      name: 'Consumer, nothing to do',
      unit: 'messages/s',
      ours: 'subscribe(), nothing to do',
      peers: ['consume() of the client library'],
    }),
  ]
}

interface Filled {
  readonly stream: BenchStream
  readonly messages: number
}

/** A stream with messages in it as the relay publishes them. */
async function fill({ connection, stream: open }: Servers, messages: number): Promise<Filled> {
  const stream = await open()
  for (let n = 0; n < messages; n += 1) publish(connection, `${stream.prefix}.order`)
  const until = performance.now() + STORED_MS
  for (;;) {
    const stored = await stream.count()
    if (stored === messages) return { stream, messages }
    if (performance.now() > until) throw new Error(`${stored} of ${messages} messages were stored`)
    await sleep(20)
  }
}

function publish(connection: NatsConnection, subject: string): void {
  const gid = randomUUID()
  const values = headers()
  values.set(NATS_MESSAGE_ID, messageId(gid, 1))
  values.set(ENVELOPE.gid, gid)
  values.set(ENVELOPE.branch, '1')
  values.set(ENVELOPE.content, 'application/json')
  connection.publish(subject, PAYLOAD, { headers: values })
}

async function checkEffects({ pool }: BenchDatabase, messages: number): Promise<void> {
  const { rows } = await pool.query<{ effects: number; once: number }>(
    'select count(*)::int as effects, count(distinct gid)::int as once from effect',
  )
  const { effects, once } = rows[0] ?? {}
  if (effects !== messages || once !== messages) throw new Error(`${messages} messages had ${effects} effects`)
}
