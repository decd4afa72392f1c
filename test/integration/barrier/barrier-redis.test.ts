import { randomUUID } from 'node:crypto'
import {
  type Adjustment,
  type BarrierResult,
  createBarrier,
  markPreparedAdjusting,
  queryPrepared,
  type RedisStore,
  redisStore,
} from 'postcommit/barrier'
import { createClient } from 'redis'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { createFaultProxy } from '../../support/fault-proxy.ts'
import { privateRedis } from '../../support/private-servers.ts'
import { redis, type TestRedis } from '../../support/redis.ts'

const HOUR_MS = 3_600_000

let clients: TestRedis
let gid: string
let key: string

beforeAll(async () => {
  clients = await redis()
})
afterAll(() => clients.close())
beforeEach(() => {
  gid = randomUUID()
  key = `{${clients.tag}}:stock:${gid}`
})

const CLIENTS = [
  { client: 'node-redis', open: () => redisStore(clients.nodeRedis, { tag: clients.tag }) },
  { client: 'ioredis', open: () => redisStore(clients.ioredis, { tag: clients.tag }) },
]
const stock = async () => Number(await clients.ioredis.get(key))
const told = ({ skipped, value }: BarrierResult<{ enough: boolean }>) => (value?.enough === false ? 'short' : skipped)

describe.each(CLIENTS)('the barrier in Redis through $client', ({ open }) => {
  let store: RedisStore
  beforeAll(() => {
    store = open()
  })

  const pass = async (op: string, by: number, more: Partial<Adjustment> = {}) =>
    told(await createBarrier({ gid, branch: '01', op }).adjust(store, { key, by, ...more }))

  // [what comes in turn, with what it adds; what each is told; what is left of 1]
  test.each([
    [[['action', -1]], [false], 0],
    [
      [
        ['action', -1],
        ['action', -1],
      ],
      [false, 'duplicate'],
      0,
    ],
    [
      [
        ['action', -2],
        ['compensate', 2],
      ],
      ['short', 'empty'],
      1,
    ],
    [
      [
        ['action', -1],
        ['compensate', 1],
        ['compensate', 1],
      ],
      [false, false, 'duplicate'],
      1,
    ],
    [
      [
        ['compensate', 1],
        ['compensate', 1],
        ['action', -1],
        ['action', -1],
      ],
      ['empty', 'duplicate', 'late', 'late'],
      1,
    ],
    [
      [
        ['cancel', 1],
        ['try', -1],
      ],
      ['empty', 'late'],
      1,
    ],
    [
      [
        ['try', -1],
        ['confirm', 0],
        ['confirm', 0],
      ],
      [false, false, 'duplicate'],
      0,
    ],
    [
      [
        ['try', -1],
        ['cancel', 1],
      ],
      [false, false],
      1,
    ],
    [
      [
        ['rollback', 1],
        ['action', -1],
      ],
      ['empty', 'late'],
      1,
    ],
  ] as const)('%j is told %j', async (calls, answers, left) => {
    await clients.ioredis.set(key, 1)
    const given = []
    for (const [op, by] of calls) given.push(await pass(op, by))
    expect(given).toEqual(answers)
    expect(await stock()).toBe(left)
  })

  test('a shortage leaves nothing behind: the same action can be made when there is more', async () => {
    await clients.ioredis.set(key, 0)
    expect(await pass('action', -1)).toBe('short')
    await clients.ioredis.set(key, 1)
    expect(await pass('action', -1)).toBe(false)
  })

  test('of 50 at the same time one takes effect', async () => {
    await clients.ioredis.set(key, 10)
    const answers = await Promise.all(Array.from({ length: 50 }, () => pass('action', -1)))
    expect(answers.filter((answer) => answer === false)).toHaveLength(1)
    expect(answers.filter((answer) => answer === 'duplicate')).toHaveLength(49)
    expect(await stock()).toBe(9)
  })

  test('50 buyers of 4 items get 4', async () => {
    await clients.ioredis.set(key, 4)
    const answers = await Promise.all(
      Array.from({ length: 50 }, async (_, buyer) =>
        told(
          await createBarrier({ gid: `${gid}-${buyer}`, branch: '01', op: 'action' }).adjust(store, { key, by: -1 }),
        ),
      ),
    )
    expect(answers.filter((answer) => answer === false)).toHaveLength(4)
    expect(answers.filter((answer) => answer === 'short')).toHaveLength(46)
    expect(await stock()).toBe(0)
  })

  test('a compensation makes the amount whose key is gone', async () => {
    await clients.ioredis.set(key, 1)
    await pass('action', -1)
    await clients.ioredis.del(key)
    expect(await pass('compensate', 1)).toBe(false)
    expect(await stock()).toBe(1)
  })

  test('what must be left is left', async () => {
    await clients.ioredis.set(key, 5)
    expect(await pass('action', -3, { least: 3 })).toBe('short')
    expect(await pass('action', -2, { least: 3 })).toBe(false)
  })

  test('an amount that is no integer is an error, and leaves no mark', async () => {
    await clients.ioredis.set(key, '1.5')
    await expect(pass('action', -1)).rejects.toThrow()
    await clients.ioredis.set(key, 'many')
    await expect(pass('action', -1)).rejects.toThrow('is not an integer')
    await clients.ioredis.set(key, 1)
    expect(await pass('action', -1)).toBe(false)
  })

  test('keys of the barrier live as long as was said, from the last call on', async () => {
    await clients.ioredis.set(key, 1)
    await pass('action', -1)
    const row = `{${clients.tag}}:postcommit:${gid}:01:action:01`
    expect(await clients.ioredis.pttl(row)).toBeGreaterThan(29.9 * 24 * HOUR_MS)
    await clients.ioredis.pexpire(row, 60_000)
    await pass('action', -1)
    expect(await clients.ioredis.pttl(row)).toBeGreaterThan(29.9 * 24 * HOUR_MS)
    await clients.ioredis.pexpire(row, 60_000)
    await pass('compensate', 1)
    expect(await clients.ioredis.pttl(row)).toBeGreaterThan(29.9 * 24 * HOUR_MS)
  })

  test('a server that does not know the script yet learns it', async () => {
    await clients.ioredis.set(key, 1)
    await clients.ioredis.script('FLUSH')
    expect(await pass('action', -1)).toBe(false)
  })

  describe('a prepared message', () => {
    const mark = () => markPreparedAdjusting(store, gid, { key, by: -1 })

    test('is committed with the amount, and a repetition after the last item is one', async () => {
      await clients.ioredis.set(key, 1)
      expect(await mark()).toEqual({ duplicate: false, enough: true, amount: 0 })
      expect(await mark()).toEqual({ duplicate: true })
      expect(await queryPrepared(store, gid)).toBe('committed')
      expect(await stock()).toBe(0)
    })

    test('is given up by a back-query that comes first, for ever', async () => {
      await clients.ioredis.set(key, 1)
      expect(await queryPrepared(store, gid)).toBe('aborted')
      await expect(mark()).rejects.toMatchObject({ code: 'POSTCOMMIT_GID_ABORTED' })
      expect(await queryPrepared(store, gid)).toBe('aborted')
      expect(await stock()).toBe(1)
    })

    test('with too little there is none', async () => {
      await clients.ioredis.set(key, 0)
      expect(await mark()).toEqual({ duplicate: false, enough: false, amount: 0 })
      expect(await queryPrepared(store, gid)).toBe('aborted')
    })
  })
})

test('an answer that is lost is found by the next call', async () => {
  const { hostname, port } = new URL(clients.url)
  await using proxy = await createFaultProxy({ target: { host: hostname, port: Number(port) } })
  const cut = createClient({ url: proxy.through(clients.url), socket: { reconnectStrategy: false } })
  cut.on('error', () => {})
  await cut.connect()
  await clients.ioredis.set(key, 1)
  const action = () => createBarrier({ gid, branch: '01', op: 'action' })
  await action().adjust(
    redisStore(clients.ioredis, { tag: clients.tag }),
    { key: `${key}:other`, by: 1 },
    { id: 'other' },
  )
  void proxy.cutWhen('down', (bytes) => bytes.includes('added'))
  await expect(action().adjust(redisStore(cut, { tag: clients.tag }), { key, by: -1 })).rejects.toThrow()
  const again = await action().adjust(redisStore(clients.ioredis, { tag: clients.tag }), { key, by: -1 })
  expect(again).toEqual({ skipped: 'duplicate' })
  expect(await stock()).toBe(0)
})

test('a server that is killed keeps what it has answered', async () => {
  await using server = await privateRedis()
  const amount = '{shop}:stock'
  {
    await using own = await redis(server.url)
    await own.ioredis.set(amount, 2)
    await createBarrier({ gid, branch: '01', op: 'action' }).adjust(redisStore(own.ioredis, { tag: 'shop' }), {
      key: amount,
      by: -1,
    })
  }
  await server.kill()
  await server.start()
  await using again = await redis(server.url)
  const store = redisStore(again.ioredis, { tag: 'shop' })
  const repeated = await createBarrier({ gid, branch: '01', op: 'action' }).adjust(store, { key: amount, by: -1 })
  expect(repeated).toEqual({ skipped: 'duplicate' })
  expect(await again.ioredis.get(amount)).toBe('1')
})

// Why the mark is looked at first: the same script with the amount first, as it is done elsewhere.
test('with the amount looked at first, a deduction of the last item is called short when it is repeated', async () => {
  const amountFirst = `
    local amount = redis.call('get', KEYS[1])
    if not amount or tonumber(amount) + tonumber(ARGV[1]) < 0 then return 'short' end
    if redis.call('exists', KEYS[2]) == 1 then return 'duplicate' end
    redis.call('set', KEYS[2], 'action')
    redis.call('incrby', KEYS[1], ARGV[1])
    return 'added'`
  await clients.ioredis.set(key, 1)
  const deduct = () => clients.ioredis.eval(amountFirst, 2, key, `${key}:mark`, -1)
  expect([await deduct(), await deduct()]).toEqual(['added', 'short'])
})

describe('mistakes', () => {
  const adjust = (adjustment: Adjustment) =>
    createBarrier({ gid, branch: '01', op: 'action' }).adjust(
      redisStore(clients.ioredis, { tag: clients.tag }),
      adjustment,
    )

  test.each(['stock', '{other}:stock', '{}stock', '{other}{TAG}:stock', '{TAG', '{TAG}:postcommit:x'])(
    'key %s is refused: it is of another hash slot, or the barrier itself',
    async (wrong) => {
      const call = adjust({ key: wrong.replace('TAG', clients.tag), by: -1 })
      await expect(call).rejects.toMatchObject({ code: 'POSTCOMMIT_INVALID_OPTIONS' })
    },
  )

  test.each([{ by: 0.5 }, { by: Number.NaN }, { by: -1, least: 0.5 }])('%j is refused', async (numbers) => {
    await expect(adjust({ key, ...numbers })).rejects.toMatchObject({ code: 'POSTCOMMIT_INVALID_OPTIONS' })
  })

  test.each([
    { tag: '' },
    { tag: 'a}b' },
    { tag: 'a', horizonMs: HOUR_MS - 1 },
    { tag: 'a', horizonMs: Number.POSITIVE_INFINITY },
  ])('a store of %j is refused', (options) => {
    expect(() => redisStore(clients.ioredis, options)).toThrow(
      expect.objectContaining({ code: 'POSTCOMMIT_INVALID_OPTIONS' }),
    )
  })
})
