import { setTimeout as sleep } from 'node:timers/promises'
import { alternate } from '../alternate.ts'
import type { Bench, Case } from '../case.ts'
import { DTM_SALE_SCHEMA } from '../dtm-sale.ts'
import { atLeast, type Measurement, ratioAtLeast, read } from '../measurement.ts'
import { Opened } from '../opened.ts'
import type { BenchDatabase } from '../servers.ts'
import { startWorker, type Worker } from '../worker.ts'
import type { SaleBuyerCommands, SaleBuyerConfig } from '../workers/sale-buyer.ts'
import type { SaleRelayCommands, SaleRelayConfig } from '../workers/sale-relay.ts'

const PROCESSES = 2
const AT_ONCE = 64
const NAME = 'bench'
const PATIENCE_MS = 60_000
const LOOK_MS = 20

const OURS = 'postcommit'
const DTM = "DTM's sequence, replayed"
const INSERTS = 'the INSERTs alone'
const LOOK = 'a script that only looks'

/** Units in Redis, orders in PostgreSQL. */
export const flashSale: Case = {
  name: 'flash-sale',
  title: 'A flash sale: deducted in Redis, ordered in PostgreSQL, all of it durable',
  onlyInFull: true,
  caveats: [
    `${PROCESSES} processes with one connection to Redis each (ioredis), ${AT_ONCE} purchases under way in each, each by a user of its own. Redis syncs every write before it answers (appendfsync=always), PostgreSQL every commit.`,
    'The clock runs from the first click until PostgreSQL counts as many orders as units. Shops, Redis, relay and PostgreSQL share the processors; there is no HTTP in front.',
    `"${INSERTS}": the rows of the orders, 500 a transaction, from memory. "${LOOK}": one script that compares and changes nothing.`,
    'DTM itself is not run: the scripts of its Redis store and its deduction are replayed in its order by the processes that buy, and its branch inserts barrier and order in a transaction of its own. In its favour nothing goes over HTTP, and nothing polls. It loses an order when a buyer sends it twice and the process that serves it dies; `test/integration/examples/flash-sale.test.ts` shows it.',
  ],
  async run(bench) {
    await using rig = await setUp(bench)
    return [...(await measureOrders(bench, rig)), ...(await measureRefusals(bench, rig))]
  },
}

type Way = SaleBuyerConfig['way']
type Buyer = Worker<SaleBuyerCommands>

interface Rig extends AsyncDisposable {
  readonly shops: Readonly<Record<Way, readonly Buyer[]>>
  readonly database: BenchDatabase
}

async function setUp({ servers }: Bench): Promise<Rig> {
  const opened = new Opened()
  const database = await servers.database()
  await database.pool.query(
    `create table orders (id bigint generated always as identity primary key, gid text not null unique,
       user_id int not null, placed_at timestamptz not null default clock_timestamp());
     ${DTM_SALE_SCHEMA}`,
  )
  const redis = await servers.redisAside({})
  const where = { redis: redis.url, database: database.url, name: NAME }
  const shopsOf = async (way: Way) => {
    const shops: Buyer[] = []
    for (let n = 0; n < PROCESSES; n += 1) {
      const config: SaleBuyerConfig = { ...where, atOnce: AT_ONCE, way }
      shops.push(opened.use(await startWorker<SaleBuyerCommands>('sale-buyer', config)))
    }
    return shops
  }
  const shops = { postcommit: await shopsOf('postcommit'), dtm: await shopsOf('dtm'), bare: await shopsOf('bare') }
  opened.use(await startWorker<SaleRelayCommands>('sale-relay', where satisfies SaleRelayConfig))
  const close = async () => {
    await opened[Symbol.asyncDispose]()
    await database.drop()
    await redis.stop()
  }
  return { shops, database, [Symbol.asyncDispose]: close }
}

let stocks = 0

/** Puts so many units on sale and lets so many users buy; resolves to how many of each 1,000 ms brought `done`. */
async function sell(rig: Rig, way: Way, units: number, buyers: number, done: () => Promise<unknown>) {
  stocks += 1
  const stock = `stock-${stocks}`
  const shops = rig.shops[way]
  for (const shop of shops) await shop.call('open', stock, units)
  await rig.database.pool.query('truncate orders')
  const startedAt = performance.now()
  const served = await Promise.all(shops.map((shop) => shop.call('buy', stock, buyers / PROCESSES)))
  const sum = served.reduce((total, each) => total + each, 0)
  if (sum !== Math.min(units, buyers)) throw new Error(`${sum} were served of ${units}`)
  await done()
  return (buyers / (performance.now() - startedAt)) * 1000
}

async function measureOrders(bench: Bench, rig: Rig): Promise<readonly Measurement[]> {
  const { pool } = rig.database
  const ordered = async (units: number) => {
    for (const until = performance.now() + PATIENCE_MS; performance.now() < until; await sleep(LOOK_MS)) {
      const { rows } = await pool.query<{ count: number }>('select count(*)::int as count from orders')
      if ((rows[0]?.count ?? 0) >= units) return
    }
    throw new Error(`${units} units were taken, and there are fewer orders after ${PATIENCE_MS} ms`)
  }
  const orders = (way: Way, units: number) => sell(rig, way, units, units, () => ordered(units))
  const contenders = {
    [OURS]: () => orders('postcommit', bench.scale(40_000, 12_000)),
    [DTM]: () => orders('dtm', bench.scale(4000, 1000)),
    [INSERTS]: () => insertAlone(rig, bench.scale(40_000, 12_000)),
  }
  for (const warmUp of Object.values(contenders)) await warmUp()
  const samples = await alternate(contenders, bench.rounds, (name, rate) =>
    bench.progress(`${name} ${Math.round(rate)} orders/s`),
  )
  return [
    read(samples, {
      ...{ name: 'units deducted and ordered, end to end', unit: 'orders/s', ours: OURS, limit: INSERTS, peers: [DTM] },
      goals: [atLeast(10_000), ratioAtLeast(DTM, 3)],
    }),
  ]
}

async function insertAlone({ database: { pool } }: Rig, count: number): Promise<number> {
  await pool.query('truncate orders')
  const startedAt = performance.now()
  for (let from = 0; from < count; from += 500) {
    const gids = Array.from({ length: 500 }, (_, n) => `${'x'.repeat(26)}${from + n}`)
    await pool.query('insert into orders (gid, user_id) select gid, 1 from unnest($1::text[]) gid', [gids])
  }
  return (count / (performance.now() - startedAt)) * 1000
}

async function measureRefusals(bench: Bench, rig: Rig): Promise<readonly Measurement[]> {
  const refusals = (way: Way, buyers: number) => sell(rig, way, 0, buyers, async () => undefined)
  const contenders = {
    [OURS]: () => refusals('postcommit', bench.scale(100_000, 30_000)),
    [DTM]: () => refusals('dtm', bench.scale(20_000, 6000)),
    [LOOK]: () => refusals('bare', bench.scale(100_000, 30_000)),
  }
  for (const warmUp of Object.values(contenders)) await warmUp()
  const samples = await alternate(contenders, bench.rounds, (name, rate) =>
    bench.progress(`${name} ${Math.round(rate)} refusals/s`),
  )
  return [
    read(samples, {
      ...{ name: 'buyers told that there is nothing left', unit: 'refusals/s', ours: OURS, limit: LOOK, peers: [DTM] },
      goals: [atLeast(30_000), ratioAtLeast(DTM, 2)],
    }),
  ]
}
