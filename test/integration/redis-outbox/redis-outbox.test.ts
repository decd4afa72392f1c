import { randomUUID } from 'node:crypto'
import { entryStream, type RedisOutbox, redisOutbox } from 'postcommit/redis-outbox'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { database, type TestDatabase } from '../../support/database.ts'
import { privateRedis } from '../../support/private-servers.ts'
import { redis, type TestRedis } from '../../support/redis.ts'

let clients: TestRedis
let db: TestDatabase
let name: string

beforeAll(async () => {
  clients = await redis()
  db = await database()
})
afterAll(async () => {
  await clients.close()
  await db.drop()
})
beforeEach(() => {
  name = `sale-${randomUUID().slice(0, 13)}`
})

const CLIENTS = [
  { client: 'node-redis', open: () => redisOutbox(clients.nodeRedis, { name }) },
  { client: 'ioredis', open: () => redisOutbox(clients.ioredis, { name }) },
]
const entries = async () => (await entryStream(clients.ioredis, name).read([], 100)).entries
const said = async () => (await entries()).map(({ text = '' }) => JSON.parse(text) as Record<string, unknown>)

describe.each(CLIENTS)('an outbox in Redis through $client', ({ open }) => {
  let sale: RedisOutbox
  beforeEach(async () => {
    sale = open()
    await sale.open(db.pool, { key: 'stock', units: 3 })
  })

  test('a deduction is taken once, and leaves one entry', async () => {
    const first = await sale.deduct({ key: 'stock', qty: 2, once: 'user-1', payload: { userId: 1 } })
    expect(first).toEqual({ status: 'ok', gid: expect.any(String), left: 1 })
    const { gid } = first as { gid: string }
    expect(await sale.deduct({ key: 'stock', qty: 2, once: 'user-1', payload: { userId: 1 } })).toEqual({
      status: 'duplicate',
      gid,
      returned: false,
    })
    expect(await sale.deduct({ key: 'stock', qty: 2, once: 'user-2' })).toEqual({ status: 'sold_out', left: 1 })
    expect(await sale.left('stock')).toBe(1)
    expect(await said()).toEqual([{ op: 'deduct', gid, key: 'stock', qty: 2, once: 'user-1', payload: { userId: 1 } }])
  })

  test('F1: whoever took the last unit and asks again is told of a repetition, not of a shortage', async () => {
    const taken = await sale.deduct({ key: 'stock', qty: 3, once: 'user-1' })
    expect(taken).toMatchObject({ status: 'ok', left: 0 })
    expect(await sale.deduct({ key: 'stock', qty: 3, once: 'user-1' })).toMatchObject({ status: 'duplicate' })
    expect(await sale.deduct({ key: 'stock', once: 'user-2' })).toEqual({ status: 'sold_out', left: 0 })
  })

  test('without once every call is one of its own', async () => {
    const taken = await Promise.all([1, 2, 3, 4].map(() => sale.deduct({ key: 'stock' })))
    expect(taken.map(({ status }) => status).sort()).toEqual(['ok', 'ok', 'ok', 'sold_out'])
    expect(new Set((await said()).map(({ gid }) => gid)).size).toBe(3)
  })

  test('what was deducted comes back once, and is not sold to the same again', async () => {
    const taken = await sale.deduct({ key: 'stock', qty: 2, once: 7 })
    const { gid } = taken as { gid: string }
    expect(await sale.giveBack({ gid })).toEqual({ status: 'ok', left: 3 })
    expect(await sale.giveBack({ gid })).toEqual({ status: 'duplicate', left: 3 })
    expect(await sale.deduct({ key: 'stock', once: '7' })).toEqual({ status: 'duplicate', gid, returned: true })
    expect(await said()).toEqual([
      { op: 'deduct', gid, key: 'stock', qty: 2, once: '7' },
      { op: 'give_back', gid, key: 'stock', qty: 2 },
    ])
    await expect(sale.giveBack({ gid: 'never' })).rejects.toMatchObject({ code: 'POSTCOMMIT_UNKNOWN_DEDUCTION' })
    await expect(sale.giveBack({ gid: 'a b' })).rejects.toMatchObject({ code: 'POSTCOMMIT_INVALID_GID' })
  })

  test('a script of the user’s own has the barrier in front and the entry behind it', async () => {
    const cart = `{${name}}:cart`
    const push = sale.script(`
if tonumber(ARGV[1]) < 0 then return false end
return redis.call('rpush', KEYS[1], ARGV[1])`)
    const done = await push.run({ keys: [cart], args: [5], once: 'a', payload: 'five' })
    expect(done).toMatchObject({ status: 'ok', value: 1 })
    expect(await push.run({ keys: [cart], args: [5], once: 'a' })).toMatchObject({ status: 'duplicate' })
    expect(await push.run({ keys: [cart], args: [-1], once: 'b' })).toEqual({ status: 'refused' })
    expect(await push.run({ keys: [cart], args: [6], once: 'b' })).toMatchObject({ status: 'ok', value: 2 })
    await expect(sale.script(`return redis.error_reply('NO way')`).run({})).rejects.toThrow('NO way')
    expect(await clients.ioredis.lrange(cart, 0, -1)).toEqual(['5', '6'])
    expect((await entries()).map(({ value }) => value)).toEqual(['1', '2'])
    expect(await said()).toMatchObject([{ op: 'script', once: 'a', payload: 'five' }, { once: 'b' }])
  })

  test('messages are drafted as in a commit', async () => {
    await sale.deduct({
      key: 'stock',
      messages: (message) =>
        message.publish('order.placed', { n: 1 }, { key: 'k' }).call('stock', '/pick', new Uint8Array([1]), {
          deliverAfter: 50,
        }),
    })
    expect((await said())[0]?.['messages']).toEqual([
      { branch: 1, target: 'order.placed', key: 'k', text: '{"n":1}' },
      { branch: 2, destination: 'stock', target: '/pick', bytes: 'AQ==', delayMs: 50 },
    ])
    const refused = sale.deduct({ key: 'stock', messages: (message) => message.publish('a b', 1) })
    await expect(refused).rejects.toMatchObject({ code: 'POSTCOMMIT_INVALID_SUBJECT' })
  })

  test('F6: keys of two slots are refused before anything is sent', async () => {
    const silent = redisOutbox({ evalsha: notSent, eval: notSent }, { name })
    const twoSlots = { code: 'POSTCOMMIT_KEYS_IN_TWO_SLOTS' }
    await expect(silent.deduct({ key: '{other}:stock' })).rejects.toMatchObject(twoSlots)
    for (const key of ['{other}:cart', 'cart', `cart:{}{${name}}`]) {
      await expect(silent.script('return 1').run({ keys: [key] })).rejects.toMatchObject(twoSlots)
    }
    const own = silent.script('return 1').run({ keys: [`{${name}}:postcommit:stock`] })
    await expect(own).rejects.toMatchObject({ code: 'POSTCOMMIT_INVALID_OPTIONS' })
  })

  test('F3: a Redis that has forgotten the stock does not say sold out', async () => {
    const lost = { code: 'POSTCOMMIT_STOCK_STORE_LOST' }
    const { gid } = (await sale.deduct({ key: 'stock' })) as { gid: string }
    await clients.ioredis.del(...(await clients.ioredis.keys(`{${name}}:*`)))
    await expect(sale.deduct({ key: 'stock' })).rejects.toMatchObject(lost)
    await expect(open().deduct({ key: 'stock' })).rejects.toMatchObject(lost)
    await expect(sale.giveBack({ gid })).rejects.toMatchObject(lost)
    await expect(sale.left('stock')).rejects.toMatchObject(lost)
    await expect(sale.script('return 1').run({})).rejects.toMatchObject(lost)
    await expect(open().open(db.pool, { key: 'stock', units: 3 })).rejects.toMatchObject(lost)
    // Nor does another stock of the same outbox make it look like one that has forgotten nothing.
    await open()
      .open(db.pool, { key: 'other', units: 1 })
      .catch(() => undefined)
    await expect(sale.deduct({ key: 'stock' })).rejects.toMatchObject(lost)
  })

  test('another epoch in Redis is another sale', async () => {
    await clients.ioredis.hset(`{${name}}:postcommit:stock`, '.epoch', 'another')
    const lost = { code: 'POSTCOMMIT_STOCK_STORE_LOST' }
    await expect(sale.deduct({ key: 'stock' })).rejects.toMatchObject(lost)
    await expect(open().open(db.pool, { key: 'stock', units: 3 })).rejects.toMatchObject(lost)
  })
})

async function notSent(): Promise<never> {
  throw new Error('it was sent')
}

describe('opening', () => {
  test('the same again changes nothing, with other units it is refused', async () => {
    const sale = redisOutbox(clients.ioredis, { name })
    await Promise.all([1, 2, 3].map(() => sale.open(db.pool, { key: 'stock', units: 5 })))
    await sale.deduct({ key: 'stock', qty: 2 })
    await redisOutbox(clients.nodeRedis, { name }).open(db.pool, { key: 'stock', units: 5 })
    expect(await sale.left('stock')).toBe(3)
    await expect(sale.open(db.pool, { key: 'stock', units: 6 })).rejects.toMatchObject({
      code: 'POSTCOMMIT_STOCK_OPENED_OTHERWISE',
    })
    await sale.open(db.pool, { key: 'second', units: 1 })
    expect(await sale.left('second')).toBe(1)
  })

  test('whoever died between database and Redis can do it again', async () => {
    const sale = redisOutbox(clients.ioredis, { name })
    await sale.open(db.pool, { key: 'stock', units: 5 })
    await clients.ioredis.del(`{${name}}:postcommit:stock`)
    await db.pool.query('update postcommit.redis_stock set stocked_at = null where name = $1', [name])
    await sale.open(db.pool, { key: 'stock', units: 5 })
    expect(await sale.left('stock')).toBe(5)
  })

  test.each([
    [{ key: 'stock', units: 0 }, 'POSTCOMMIT_INVALID_OPTIONS'],
    [{ key: 'stock', units: 1.5 }, 'POSTCOMMIT_INVALID_OPTIONS'],
    [{ key: '.epoch', units: 1 }, 'POSTCOMMIT_INVALID_OPTIONS'],
    [{ key: '{other}', units: 1 }, 'POSTCOMMIT_KEYS_IN_TWO_SLOTS'],
  ])('%o is refused', async (stock, code) => {
    const sale = redisOutbox(clients.ioredis, { name })
    await expect(sale.open(db.pool, stock)).rejects.toMatchObject({ code })
  })

  test('a Redis that may throw keys away is refused', async () => {
    await using server = await privateRedis({ settings: { 'maxmemory-policy': 'allkeys-lru' } })
    await using other = await redis(server.url)
    const sale = redisOutbox(other.ioredis, { name })
    await expect(sale.open(db.pool, { key: 'stock', units: 1 })).rejects.toMatchObject({
      code: 'POSTCOMMIT_REDIS_UNSUITABLE',
      message: expect.stringContaining('allkeys-lru'),
    })
  })

  test('so is one that is too old', async () => {
    const old = { evalsha: async () => ['6.0.16', 'noeviction'], eval: notSent }
    await expect(redisOutbox(old, { name }).open(db.pool, { key: 'stock', units: 1 })).rejects.toMatchObject({
      code: 'POSTCOMMIT_REDIS_UNSUITABLE',
      message: expect.stringContaining('6.0.16'),
    })
  })

  test('F4: a barrier that ends before the horizon does is refused when it is made', () => {
    const short = () => redisOutbox(clients.ioredis, { name, barrierTtl: '1h', horizon: '2h' })
    expect(short).toThrow(expect.objectContaining({ code: 'POSTCOMMIT_BARRIER_TOO_SHORT' }))
    expect(() => redisOutbox(clients.ioredis, { name, barrierTtl: '1d' })).toThrow('POSTCOMMIT_BARRIER_TOO_SHORT')
  })

  test('the barrier lives as long as was said, by the clock of the server', async () => {
    const sale = redisOutbox(clients.ioredis, { name, barrierTtl: '2h', horizon: '1h' })
    await sale.open(db.pool, { key: 'stock', units: 1 })
    const { gid } = (await sale.deduct({ key: 'stock', once: 'a' })) as { gid: string }
    const left = await clients.ioredis.pttl(`{${name}}:postcommit:once:${gid}`)
    expect(left).toBeGreaterThan(7_100_000)
    expect(left).toBeLessThanOrEqual(7_200_000)
  })

  test.each([{ name: 'a b' }, { name: '' }, { name: 'a', barrierTtl: 'long' }, { name: 'a', horizon: 0 }])(
    '%o is refused',
    (options) => {
      expect(() => redisOutbox(clients.ioredis, options)).toThrow('POSTCOMMIT_INVALID_OPTIONS')
    },
  )
})

test.each([
  [{ key: 'stock', qty: 0 }, 'POSTCOMMIT_INVALID_OPTIONS'],
  [{ key: 'stock', once: '' }, 'POSTCOMMIT_INVALID_OPTIONS'],
  [{ key: 'stock', payload: new Uint8Array(1) }, 'POSTCOMMIT_INVALID_PAYLOAD'],
  [{ key: 'stock', payload: Number.NaN }, 'POSTCOMMIT_INVALID_PAYLOAD'],
  [{ key: 'stock', payload: 'ä'.repeat(40_000) }, 'POSTCOMMIT_PAYLOAD_TOO_LARGE'],
])('a deduction of %o is refused, and nothing is taken', async (deduction, code) => {
  const sale = redisOutbox(clients.ioredis, { name })
  await sale.open(db.pool, { key: 'stock', units: 1 })
  await expect(sale.deduct(deduction)).rejects.toMatchObject({ code })
  expect(await sale.left('stock')).toBe(1)
  expect(await entries()).toEqual([])
})
