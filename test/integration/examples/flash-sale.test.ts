import { randomUUID } from 'node:crypto'
import { createRelay, type Relay } from '@postcommit/relay'
import { pino } from 'pino'
import { type RedisOutbox, redisOutbox } from 'postcommit/redis-outbox'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { ORDERS, ORDERS_TABLE, ordersOf, RETURNS } from '../../../examples/06-flash-sale/sale.ts'
import { seededRandom } from '../../fault/random.ts'
import { database, type TestDatabase } from '../../support/database.ts'
import { type DtmFlashSale, dtmFlashSale, Killed } from '../../support/dtm-flash-sale.ts'
import { eventually } from '../../support/eventually.ts'
import { redis, type TestRedis } from '../../support/redis.ts'

/** Units and orders are one number, whoever clicks twice and whoever dies; and the scheme for which they are not. */
const CLICKERS = 1500
const UNITS = 300
const DIES = 0.1
const TIMEOUT_MS = 60_000

let clients: TestRedis
let db: TestDatabase
let name: string
beforeAll(async () => {
  clients = await redis()
  db = await database()
  await db.pool.query(ORDERS_TABLE)
})
afterAll(async () => {
  await clients.close()
  await db.drop()
})
beforeEach(async () => {
  name = `sale-${randomUUID().slice(0, 13)}`
  await db.pool.query('truncate orders')
})

async function openSale(units: number): Promise<RedisOutbox> {
  const sale = redisOutbox(clients.nodeRedis, { name })
  await sale.open(db.pool, { key: 'stock', units })
  return sale
}

/** A relay that makes the orders; `await using` stops it. */
async function startRelay(): Promise<Relay & AsyncDisposable> {
  const relay = createRelay({
    db: db.url,
    log: pino({ level: 'silent' }),
    redisOutboxes: [
      {
        redis: clients.ioredis,
        name,
        async write(tx, entries) {
          const { sold, returned } = ordersOf(entries)
          await tx.query(ORDERS, [sold.map(({ gid }) => gid), sold.map(({ user }) => user)])
          await tx.query(RETURNS, [returned])
        },
      },
    ],
  })
  await relay.start()
  return Object.assign(relay, { [Symbol.asyncDispose]: () => relay.stop() })
}

/** What is left and what was sold, as Redis says; what stands and what is sold, as PostgreSQL says. */
async function numbers(sale: RedisOutbox, units: number) {
  const { rows } = await db.pool.query<{ orders: number; sold: number }>(
    `select (select count(*)::int from orders where status <> 'returned') as orders,
            (select sold::int from postcommit.redis_stock where name = $1) as sold`,
    [name],
  )
  return { deducted: units - (await sale.left('stock')), ...rows[0] }
}

/** Everybody clicks one to three times, in any order, 64 at the same time; some of those who serve them die. */
async function clickAround(click: (user: number, dies: boolean) => Promise<unknown>, random: () => number) {
  const clicks = Array.from({ length: CLICKERS }, (_, user) =>
    Array<number>(1 + Math.floor(random() * 3)).fill(user + 1),
  )
    .flat()
    .map((user) => ({ user, at: random() }))
    .sort((a, b) => a.at - b.at)
  const one = async (): Promise<void> => {
    for (let next = clicks.pop(); next !== undefined; next = clicks.pop()) {
      await click(next.user, random() < DIES).catch((error: unknown) => {
        if (!(error instanceof Killed)) throw error
      })
    }
  }
  await Promise.all(Array.from({ length: 64 }, one))
}

describe('F1: the last unit, clicked twice, by somebody whose first answer was never given', () => {
  test('is theirs, and one order is made', async () => {
    const sale = await openSale(1)
    const buy = () => sale.deduct({ key: 'stock', once: 'user-1', payload: { user: 1 } })
    // What was answered dies with the process that asked.
    await buy()
    expect(await buy()).toMatchObject({ status: 'duplicate' })
    await using _ = await startRelay()
    await eventually(async () => expect(await numbers(sale, 1)).toEqual({ deducted: 1, orders: 1, sold: 1 }))
  })

  test("as a control: with DTM's script it is gone, and no order is made", async () => {
    const dtm = await dtmFlashSale(clients.ioredis, name, 1)
    await expect(dtm.buy('user-1', true)).rejects.toThrow(Killed)
    expect(await dtm.buy('user-1')).toBe('sold_out')
    await dtm.recover()
    expect({ left: await dtm.left(), orders: dtm.orders.size }).toEqual({ left: 0, orders: 0 })
  })
})

describe(`F1: ${UNITS} units, ${CLICKERS} people with one to three clicks, and a tenth of the clicks dies`, () => {
  test('as many orders as units, and nobody is told otherwise', { timeout: TIMEOUT_MS }, async () => {
    const sale = await openSale(UNITS)
    await using _ = await startRelay()
    const refused = new Set<number>()
    await clickAround(async (user, dies) => {
      const { status } = await sale.deduct({ key: 'stock', once: user, payload: { user } })
      if (dies) throw new Killed()
      if (status === 'sold_out') refused.add(user)
    }, seededRandom(7))
    const all = { deducted: UNITS, orders: UNITS, sold: UNITS }
    await eventually(async () => expect(await numbers(sale, UNITS)).toEqual(all), { timeoutMs: 20_000 })
    // Nobody who has one was told that there are none left.
    const { rows } = await db.pool.query<{ user_id: number }>('select user_id from orders')
    expect(rows.filter(({ user_id }) => refused.has(user_id))).toEqual([])
  })

  test("as a control: with DTM's script there are fewer", { timeout: TIMEOUT_MS }, async () => {
    const dtm: DtmFlashSale = await dtmFlashSale(clients.ioredis, name, UNITS)
    await clickAround((user, dies) => dtm.buy(`user-${user}`, dies), seededRandom(7))
    await dtm.recover()
    expect(await dtm.left()).toBe(0)
    expect(dtm.orders.size).toBeLessThan(UNITS)
  })
})

test('F5: orders that are not paid come back once: what is left and what is paid are all there is', {
  timeout: TIMEOUT_MS,
}, async () => {
  const units = 200
  const sale = await openSale(units)
  const taken = await Promise.all(
    Array.from({ length: units }, (_, user) => sale.deduct({ key: 'stock', once: user, payload: { user } })),
  )
  const gids = taken.flatMap((each) => (each.status === 'ok' ? [each.gid] : []))
  const unpaid = gids.filter((_, n) => n % 3 === 0)
  // Several see to it at the same time, some before the order is made; each dies once and begins anew.
  const giveAllBack = async () => {
    for (const gid of [...unpaid.slice(0, 20), ...unpaid]) await sale.giveBack({ gid })
  }
  const [first] = await Promise.all([startRelay(), giveAllBack(), giveAllBack()])
  await first.stop()
  await giveAllBack()
  expect(await sale.left('stock')).toBe(unpaid.length)
  const again = await Promise.all(
    Array.from({ length: 10 }, (_, n) => sale.deduct({ key: 'stock', once: `late-${n}`, payload: { user: 1000 + n } })),
  )
  expect(again.every(({ status }) => status === 'ok')).toBe(true)
  await using _ = await startRelay()
  const stand = units - unpaid.length + 10
  const all = { deducted: stand, orders: stand, sold: stand }
  await eventually(async () => expect(await numbers(sale, units)).toEqual(all), { timeoutMs: 20_000 })
  expect((await sale.left('stock')) + stand).toBe(units)
})
