import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { ENVELOPE, SIGNATURE_HEADERS } from 'postcommit/protocol'
import { alternate } from '../alternate.ts'
import type { Case } from '../case.ts'
import { atLeast, type Measurement, ratioAtLeast, read, type Samples } from '../measurement.ts'
import type { BenchDatabase } from '../servers.ts'
import { startWorker, type Worker } from '../worker.ts'
import type { HttpServiceCommands } from '../workers/http-service.ts'
import type { RelayConfig } from '../workers/relay.ts'
import type { UndiciCommands } from '../workers/undici.ts'

const PAYLOAD = JSON.stringify({ text: 'x'.repeat(189) })
const LETTERS = [...'abcdefghij']
const LAST = 'j'
/** As many calls under way for undici alone as for each destination. */
const CONCURRENCY = 64
const PATIENCE_MS = 60_000
const POLL_MS = 20

/** HTTP calls: from the commit that asked for them until each of them is written down as confirmed. */
export const http: Case = {
  name: 'http',
  title: 'HTTP deliveries confirmed, the status durable',
  caveats: [
    'undici alone makes the same calls to the same server, with the same headers and 64 under way, and remembers nothing: no claim, no status, no order.',
    'The rate is that of a backlog: all calls are committed in one transaction, and the clock runs from its COMMIT until the last row says `confirmed`.',
    'Calls are not signed; a signature costs one HMAC a call on either side.',
  ],
  async run(bench) {
    await using service = await startWorker<HttpServiceCommands>('http-service', null)
    const url = await service.call('url')
    await using undici = await startWorker<UndiciCommands>('undici', { url, concurrency: CONCURRENCY })
    const database = await bench.servers.database()
    await using _relay = await startWorker('relay', {
      database: database.url,
      destinations: Object.fromEntries(
        LETTERS.map((name) => [name, { url: `${url}/${name}`, concurrency: CONCURRENCY }]),
      ),
    } satisfies RelayConfig)
    const rig = {
      deliver: (work: Work) => deliver(database, service, work),
      bare: async (calls: number) => (calls / (await undici.call('call', calls, PAYLOAD, headersOfACall()))) * 1000,
    }
    const calls = bench.scale(30_000, 10_000)
    const one = { calls, destinations: LETTERS.slice(0, 1) }
    const ten = { calls, destinations: LETTERS }
    const contenders = {
      'one destination': () => rig.deliver(one),
      'ten destinations': () => rig.deliver(ten),
      'nine beside one that answers': () => rig.deliver({ ...ten, count: LETTERS.slice(0, -1) }),
      'nine beside one that hangs': () => rig.deliver({ ...ten, count: LETTERS.slice(0, -1), hung: LAST }),
      'undici alone': () => rig.bare(calls),
      // In a quick run it would only repeat what the first one says.
      'distinct keys': () => (bench.quick ? Promise.resolve(0) : rig.deliver({ ...one, keyed: true })),
    }
    for (const warmUp of Object.values(contenders)) await warmUp()
    const samples = await alternate(contenders, bench.rounds, (name, rate) =>
      bench.progress(`${name} ${Math.round(rate)}/s`),
    )
    return readAll(samples).slice(0, bench.quick ? -1 : undefined)
  },
}

type Row =
  | 'one destination'
  | 'ten destinations'
  | 'nine beside one that answers'
  | 'nine beside one that hangs'
  | 'undici alone'
  | 'distinct keys'

function readAll(samples: Samples<Row>): readonly Measurement[] {
  const unit = 'deliveries/s'
  const limit = 'undici alone'
  const goals = [atLeast(10_000), ratioAtLeast(limit, 0.5)]
  return [
    read(samples, { name: 'HTTP, one destination', unit, ours: 'one destination', limit, goals }),
    read(samples, { name: 'HTTP, ten destinations', unit, ours: 'ten destinations', limit, goals }),
    read(samples, {
      name: 'HTTP, nine destinations beside one that hangs',
      unit,
      ours: 'nine beside one that hangs',
      peers: ['nine beside one that answers'],
      goals: [ratioAtLeast('nine beside one that answers', 0.8)],
      note: 'Both rows count the calls of nine destinations. The tenth has as many due; in the first row it takes every call and answers none.',
    }),
    read(samples, { name: 'HTTP, distinct keys', unit, ours: 'distinct keys', limit }),
  ]
}

interface Work {
  readonly calls: number
  readonly destinations: readonly string[]
  /** Those whose calls are waited for and counted; all by default. */
  readonly count?: readonly string[]
  readonly hung?: string
  readonly keyed?: boolean
}

async function deliver(database: BenchDatabase, service: Worker<HttpServiceCommands>, work: Work): Promise<number> {
  const { calls, destinations, count = destinations, hung, keyed = false } = work
  const wanted = (calls / destinations.length) * count.length
  await database.pool.query('truncate postcommit.delivery cascade')
  await service.call('reset')
  if (hung !== undefined) await service.call('hang', `/${hung}/call`)
  const startedAt = await seed(database, calls, destinations, keyed)
  while ((await service.call('answered')) < wanted) await waitABit(startedAt)
  while ((await confirmed(database, count)) < wanted) await waitABit(startedAt)
  const tookMs = performance.now() - startedAt
  await service.call('letGo')
  while ((await confirmed(database, destinations)) < calls) await waitABit(startedAt)
  const answered = await service.call('answered')
  if (answered < calls) throw new Error(`${calls} calls confirmed and only ${answered} answered`)
  return (wanted / tookMs) * 1000
}

/** Writes the calls as the SDK does, and wakes the relay as it does; resolves to when COMMIT was sent. */
async function seed({ pool }: BenchDatabase, calls: number, destinations: readonly string[], keyed: boolean) {
  const client = await pool.connect()
  try {
    await client.query('begin')
    await client.query(
      `insert into postcommit.delivery (gid, branch, destination, target, key, slot, payload, due_at)
select gid, 1, ($2::text[])[1 + n % $3::int], '/call', case when $4::bool then gid end, n % 64, $5, clock_timestamp()
from (select n, gen_random_uuid()::text as gid from generate_series(0, $1::int - 1) n) call order by n`,
      [calls, destinations, destinations.length, keyed, PAYLOAD],
    )
    const committedAt = performance.now()
    await client.query('commit')
    await client.query(`select pg_notify('postcommit', '')`)
    return committedAt
  } finally {
    client.release()
  }
}

async function confirmed({ pool }: BenchDatabase, destinations: readonly string[]): Promise<number> {
  const { rows } = await pool.query<{ count: number }>(
    `select count(*)::int from postcommit.delivery where state = 'confirmed' and destination = any ($1)`,
    [destinations],
  )
  return rows[0]?.count ?? 0
}

async function waitABit(startedAt: number): Promise<void> {
  if (performance.now() - startedAt > PATIENCE_MS) throw new Error(`not done within ${PATIENCE_MS} ms`)
  await sleep(POLL_MS)
}

function headersOfACall(): Readonly<Record<string, string>> {
  const gid = randomUUID()
  return {
    [ENVELOPE.content]: 'application/json',
    [ENVELOPE.gid]: gid,
    [ENVELOPE.branch]: '1',
    'postcommit-attempt': '1',
    [SIGNATURE_HEADERS.id]: `${gid}:1`,
    [SIGNATURE_HEADERS.timestamp]: String(Math.floor(Date.now() / 1000)),
  }
}
