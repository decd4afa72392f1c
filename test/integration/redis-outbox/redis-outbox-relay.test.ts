import { randomUUID } from 'node:crypto'
import { type AppliedEntry, createRelay, type Relay, type RelayOptions } from '@postcommit/relay'
import type { ClientBase } from 'pg'
import { type RedisOutbox, redisOutbox } from 'postcommit/redis-outbox'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { requeueDeadLetters } from '../../../relay/store/delivery/requeue-dead-letters.ts'
import { selectDeadLetters } from '../../../relay/store/delivery/select-dead-letters.ts'
import { database, type TestDatabase } from '../../support/database.ts'
import { notedAct } from '../../support/deliveries.ts'
import { eventually } from '../../support/eventually.ts'
import { redis, type TestRedis } from '../../support/redis.ts'
import { testRelays } from '../../support/test-relays.ts'

let db: TestDatabase
let clients: TestRedis
let name: string
let sale: RedisOutbox
const relays = testRelays()

beforeEach(async () => {
  db = await database()
  await db.pool.query('create table orders (gid text primary key, buyer text not null, qty int not null)')
  clients = await redis()
  name = `sale-${randomUUID().slice(0, 13)}`
  sale = redisOutbox(clients.nodeRedis, { name })
})
afterEach(async () => {
  await relays.stop()
  await clients.close()
  await db.drop()
})

async function start(
  outbox: Partial<NonNullable<RelayOptions['redisOutboxes']>[number]> = {},
  options: Partial<RelayOptions> = {},
): Promise<Relay> {
  return await relays.start({
    db: db.url,
    redisOutboxes: [{ redis: clients.ioredis, name, ...outbox }],
    ...options,
  })
}

async function writeOrders(tx: ClientBase, entries: readonly AppliedEntry[]): Promise<void> {
  const sold = entries.filter(({ op }) => op === 'deduct')
  await tx.query('insert into orders select * from unnest($1::text[], $2::text[], $3::int[])', [
    sold.map(({ gid }) => gid),
    sold.map(({ once }) => once),
    sold.map(({ qty }) => qty),
  ])
  const back = entries.filter(({ op }) => op === 'give_back').map(({ gid }) => gid)
  if (back.length > 0) await tx.query('delete from orders where gid = any($1)', [back])
}

const orders = async () => Number((await db.pool.query('select coalesce(sum(qty), 0) as n from orders')).rows[0].n)
const guard = async (key = 'stock') => {
  const { rows } = await db.pool.query(
    `select total::int, sold::int, refused::int, stopped_reason as stopped
from postcommit.redis_stock join postcommit.redis_outbox using (name) where name = $1 and key = $2`,
    [name, key],
  )
  return rows[0]
}
const waiting = async () => await clients.ioredis.xlen(`{${name}}:postcommit:entries`)
const deadLetters = () => selectDeadLetters(db.pool, { limit: 100 })
const buy = (count: number, from = 0) =>
  Promise.all(Array.from({ length: count }, (_, n) => sale.deduct({ key: 'stock', once: `u${from + n}` })))

/** A busy machine takes its time. */
const soon = <T>(assertion: () => T | Promise<T>) => eventually(assertion, { timeoutMs: 30_000 })

describe('entries become orders', () => {
  test('deducted = orders = sold, with double clicks and more buyers than units', async () => {
    await sale.open(db.pool, { key: 'stock', units: 1000 })
    const relay = await start({ write: writeOrders, batch: 100 })
    const clicks = (await Promise.all([buy(1500), buy(1500)])).flat()
    expect(clicks.filter(({ status }) => status === 'ok')).toHaveLength(1000)
    await soon(async () => {
      expect(await orders()).toBe(1000)
      expect(await guard()).toMatchObject({ sold: 1000, stopped: null })
      expect(await waiting()).toBe(0)
    })
    await relay.refreshMetrics()
    expect(await relay.metrics.registry.getSingleMetricAsString('postcommit_redis_entries_total')).toContain(
      `{source="main",outbox="${name}",outcome="applied"} 1000`,
    )
    expect(relay.health().sources[0]?.redisOutboxes).toEqual([{ name, leads: true, waiting: 0, problem: undefined }])
  })

  test('F5: what comes back is sold again, and paid orders and stock are the total', async () => {
    await sale.open(db.pool, { key: 'stock', units: 10 })
    await start({ write: writeOrders })
    const taken = await buy(10)
    const gids = taken.flatMap((click) => (click.status === 'ok' ? [click.gid] : []))
    await Promise.all([...gids.slice(0, 4), ...gids.slice(0, 4)].map((gid) => sale.giveBack({ gid })))
    expect(await sale.left('stock')).toBe(4)
    await soon(async () => {
      expect(await orders()).toBe(6)
      expect(await guard()).toMatchObject({ sold: 6 })
    })
    await buy(5, 10)
    await soon(async () => expect(await guard()).toMatchObject({ sold: 10 }))
    expect(await sale.left('stock')).toBe(0)
    expect(await orders()).toBe(10)
  })

  test('an entry that is read again after it was applied has no effect', async () => {
    await sale.open(db.pool, { key: 'stock', units: 10 })
    await buy(3)
    const stream = `{${name}}:postcommit:entries`
    const entries = await clients.ioredis.xrange(stream, '-', '+')
    await start({ write: writeOrders })
    await soon(async () => expect(await guard()).toMatchObject({ sold: 3 }))
    await soon(async () => expect(await waiting()).toBe(0))
    // As after a restart of Redis that has lost the deletion.
    for (const [, fields] of entries) await clients.ioredis.xadd(stream, '*', ...fields)
    await soon(async () => expect(await waiting()).toBe(0))
    expect(await orders()).toBe(3)
    expect(await guard()).toMatchObject({ sold: 3, refused: 0 })
    expect(await deadLetters()).toEqual([])
  })

  test('two relays: one applies, and the other takes over', async () => {
    await sale.open(db.pool, { key: 'stock', units: 100 })
    const first = await start({ write: writeOrders })
    const second = await start({ write: writeOrders, redis: clients.nodeRedis })
    await buy(50)
    await soon(async () => expect(await orders()).toBe(50))
    const leads = (relay: Relay) => relay.health().sources[0]?.redisOutboxes?.[0]?.leads
    expect([leads(first), leads(second)].filter(Boolean)).toHaveLength(1)
    await (leads(first) === true ? first : second).stop()
    await buy(50, 50)
    await soon(async () => expect(await orders()).toBe(100))
    expect(await guard()).toMatchObject({ sold: 100 })
  })

  test('without write() an entry becomes its messages, and a deduction without one a dead letter', async () => {
    await sale.open(db.pool, { key: 'stock', units: 10 })
    const delivered: string[] = []
    const handlers = {
      orders: async ({ target, gid, content }: { target: string; gid: string; content: unknown }) => {
        delivered.push(`${target} ${gid} ${content}`)
      },
    }
    await start({}, { handlers })
    const placed = await sale.deduct({
      key: 'stock',
      qty: 2,
      messages: (message) =>
        message.call('orders', '/create', { n: 1 }).publish('order.placed', { n: 1 }, { key: 'k' }),
    })
    const { gid } = placed as { gid: string }
    await soon(() => expect(delivered).toEqual([`/create ${gid} {"n":1}`]))
    const log = await db.pool.query('select gid, branch, topic, key, payload from postcommit.outbox')
    expect(log.rows).toEqual([{ gid, branch: 2, topic: 'order.placed', key: 'k', payload: '{"n":1}' }])
    const silent = await sale.deduct({ key: 'stock' })
    await soon(async () => {
      expect(await deadLetters()).toMatchObject([
        { gid: (silent as { gid: string }).gid, destination: 'redis-outbox', target: name },
      ])
    })
    expect(await guard()).toMatchObject({ sold: 2, refused: 1 })
  })

  test('a script of the user’s own is applied once too, without a stock', async () => {
    const seen: AppliedEntry[] = []
    await start({ write: async (_, entries) => seen.push(...entries) })
    const draw = sale.script(`return redis.call('incr', KEYS[1])`)
    await draw.run({ keys: [`{${name}}:n`], once: 'a', payload: { a: 1 } })
    await draw.run({ keys: [`{${name}}:n`], once: 'a', payload: { a: 1 } })
    await soon(() => expect(seen).toHaveLength(1))
    expect(seen[0]).toMatchObject({ op: 'script', once: 'a', payload: { a: 1 }, value: '1', key: undefined })
    expect(Math.abs((seen[0]?.at.getTime() ?? 0) - Date.now())).toBeLessThan(60_000)
  })
})

describe('a Redis that lost its data', () => {
  test('F3: emptied in the middle of a sale, it sells nothing more, and nothing was sold twice', async () => {
    await sale.open(db.pool, { key: 'stock', units: 100 })
    const relay = await start({ write: writeOrders })
    await buy(60)
    await soon(async () => expect(await guard()).toMatchObject({ sold: 60 }))
    await forget()
    await expect(buy(1, 60)).rejects.toMatchObject({ code: 'POSTCOMMIT_STOCK_STORE_LOST' })
    await soon(async () => expect((await guard()).stopped).toMatch(/lost/))
    expect(relay.health().sources[0]?.redisOutboxes?.[0]?.problem).toMatch(/lost/)
    const another = redisOutbox(clients.ioredis, { name })
    const opened = another.open(db.pool, { key: 'stock', units: 100 })
    await expect(opened).rejects.toMatchObject({ code: 'POSTCOMMIT_STOCK_STORE_LOST' })
    expect(await orders()).toBe(60)
  })

  test('one that was filled again by hand sells no more than the database has, and what it sold too much is kept', async () => {
    await sale.open(db.pool, { key: 'stock', units: 100 })
    await start({ write: writeOrders, batch: 7 })
    await buy(60)
    await soon(async () => expect(await guard()).toMatchObject({ sold: 60 }))
    // As a replica that had not received what was sold, or a restart from an older file: the same epoch, an older stock.
    await clients.ioredis.hset(`{${name}}:postcommit:stock`, 'stock', '100')
    const clicks = await Promise.allSettled(Array.from({ length: 100 }, (_, n) => buy(1, 1000 + n)))
    const taken = clicks.filter(({ status }) => status === 'fulfilled').length
    expect(taken).toBeGreaterThanOrEqual(41)
    await soon(async () => {
      expect(await waiting()).toBe(0)
      expect(await guard()).toMatchObject({ sold: 100, stopped: expect.stringContaining('more was sold') })
    })
    expect(await orders()).toBe(100)
    expect((await guard()).refused).toBe(taken - 40)
    const { rows } = await db.pool.query(`select count(*)::int as n from postcommit.delivery where state = 'dead'`)
    expect(rows).toEqual([{ n: taken - 40 }])
    await expect(buy(1, 2000)).rejects.toMatchObject({ code: 'POSTCOMMIT_STOCK_STORE_LOST' })
    expect((await deadLetters())[0]?.lastError).toContain('POSTCOMMIT_STOCK_STORE_LOST')
  })

  test('reopened, it is sold on from what the database has, and to nobody twice', async () => {
    await sale.open(db.pool, { key: 'stock', units: 10 })
    await start({ write: writeOrders })
    const taken = await buy(6)
    const { gid } = taken[0] as { gid: string }
    await sale.giveBack({ gid })
    await soon(async () => expect(await guard()).toMatchObject({ sold: 5 }))
    await soon(async () => expect(await waiting()).toBe(0))
    await forget()
    await soon(async () => expect((await guard()).stopped).toMatch(/lost/))
    const other = redisOutbox(clients.ioredis, { name })
    await other.reopen(db.pool)
    expect(await other.left('stock')).toBe(5)
    // The others were told of another epoch, and open it again.
    await expect(buy(1, 20)).rejects.toMatchObject({ code: 'POSTCOMMIT_STOCK_STORE_LOST' })
    await sale.open(db.pool, { key: 'stock', units: 10 })
    expect((await buy(6)).map(({ status }) => status)).toEqual(Array(6).fill('duplicate'))
    expect(await sale.giveBack({ gid })).toMatchObject({ status: 'duplicate', left: 5 })
    expect((await buy(6, 10)).filter(({ status }) => status === 'ok')).toHaveLength(5)
    await soon(async () => expect(await guard()).toMatchObject({ sold: 10, refused: 0, stopped: null }))
    expect(await orders()).toBe(10)
    await other.reopen(db.pool)
    expect(await sale.left('stock')).toBe(0)
  })

  test('reopened while its stream is still there, what was not applied becomes dead letters and stays bounded', async () => {
    await sale.open(db.pool, { key: 'stock', units: 10 })
    await buy(4)
    await db.pool.query(`update postcommit.redis_outbox set stopped_at = now(), stopped_reason = 'lost'`)
    await sale.reopen(db.pool)
    expect(await sale.left('stock')).toBe(10)
    await start({ write: writeOrders })
    await soon(async () => expect(await deadLetters()).toHaveLength(4))
    expect(await guard()).toMatchObject({ sold: 0, refused: 4, stopped: null })
    const dead = await deadLetters()
    await requeueDeadLetters(
      db.pool,
      dead.map(({ id }) => id),
      notedAct('tester', 'they were told so'),
    )
    await soon(async () => expect(await guard()).toMatchObject({ sold: 4 }))
    await expect(redisOutbox(clients.ioredis, { name: 'never' }).reopen(db.pool)).rejects.toMatchObject({
      code: 'POSTCOMMIT_STOCK_STORE_LOST',
    })
  })

  test('one that somebody else filled is another sale', async () => {
    await sale.open(db.pool, { key: 'stock', units: 5 })
    await start({ write: writeOrders })
    await forget()
    await clients.ioredis.hset(`{${name}}:postcommit:stock`, '.epoch', 'another', 'stock', '5')
    const stranger = redisOutbox(clients.ioredis, { name })
    await stranger.deduct({ key: 'stock' }).catch(() => undefined)
    await soon(async () => expect((await guard()).stopped).toMatch(/another/))
    await expect(stranger.deduct({ key: 'stock' })).rejects.toMatchObject({ code: 'POSTCOMMIT_STOCK_STORE_LOST' })
    expect(await guard()).toMatchObject({ sold: 0 })
    expect(await orders()).toBe(0)
  })
})

async function forget(): Promise<void> {
  await clients.ioredis.del(...(await clients.ioredis.keys(`{${name}}:*`)))
}

describe('what cannot be written', () => {
  test('a broken entry is set aside with its reason, and the others around it are orders', async () => {
    await db.pool.query(`alter table orders add check (buyer <> 'u3')`)
    await sale.open(db.pool, { key: 'stock', units: 100 })
    await buy(5)
    await clients.ioredis.xadd(`{${name}}:postcommit:entries`, '*', 'entry', '{"op":')
    await clients.ioredis.xadd(`{${name}}:postcommit:entries`, '*', 'other', '1')
    await buy(5, 5)
    await start({ write: writeOrders })
    await soon(async () => expect(await orders()).toBe(9))
    await soon(async () => expect(await waiting()).toBe(0))
    expect(await guard()).toMatchObject({ sold: 9, refused: 1 })
    const dead = await deadLetters()
    expect(dead.map(({ lastError }) => lastError).sort()).toEqual([
      expect.stringContaining('cannot be read'),
      expect.stringContaining('no field'),
      expect.stringContaining('orders_buyer_check'),
    ])
    // Mended and requeued, it is applied like any other.
    await db.pool.query('alter table orders drop constraint orders_buyer_check')
    await requeueDeadLetters(
      db.pool,
      dead.map(({ id }) => id),
      notedAct('tester', 'mended'),
    )
    await soon(async () => expect(await orders()).toBe(10))
    expect(await guard()).toMatchObject({ sold: 10 })
    await soon(async () => expect(await deadLetters()).toHaveLength(2))
  })

  test('while what writes is broken nothing is set aside, and it goes on when it is mended', async () => {
    await db.pool.query('alter table orders rename to hidden')
    await sale.open(db.pool, { key: 'stock', units: 10 })
    await buy(3)
    const relay = await start({ write: writeOrders })
    await soon(() => expect(relay.health().sources[0]?.redisOutboxes?.[0]?.problem).toMatch(/orders/))
    expect(await waiting()).toBe(3)
    await db.pool.query('alter table hidden rename to orders')
    await soon(async () => expect(await orders()).toBe(3))
    expect(await deadLetters()).toEqual([])
  })

  test('an entry that stands alone is set aside after some rounds', async () => {
    await sale.open(db.pool, { key: 'stock', units: 10 })
    await start({
      write: async () => {
        throw new Error('no')
      },
    })
    await buy(1)
    await soon(async () => expect(await deadLetters()).toMatchObject([{ lastError: 'write() failed: no' }]))
    expect(await guard()).toMatchObject({ sold: 0, refused: 1 })
  })

  test('a return of what was set aside is set aside too', async () => {
    await sale.open(db.pool, { key: 'stock', units: 10 })
    const relay = await start({
      write: async (_, entries) => {
        if (entries.some(({ op }) => op === 'deduct')) throw new Error('no')
      },
    })
    const [taken] = await buy(1)
    await soon(async () => expect(await deadLetters()).toHaveLength(1))
    await sale.giveBack({ gid: (taken as { gid: string }).gid })
    await soon(async () => expect(await deadLetters()).toHaveLength(2))
    expect(await guard()).toMatchObject({ sold: 0 })
    expect(relay.health().sources[0]?.redisOutboxes?.[0]?.problem).toBeUndefined()
  })
})

test.each([[{ name: 'a b' }], [{ batch: 0 }], [{ source: 'other' }]])('outbox %o is refused', (outbox) => {
  const create = () => createRelay({ db: db.url, redisOutboxes: [{ redis: clients.ioredis, name, ...outbox }] })
  expect(create).toThrow('POSTCOMMIT_INVALID_OPTIONS')
})
