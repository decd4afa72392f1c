import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { createClient } from 'redis'
import { seededRandom } from '../fault/random.ts'
import { untilEnded } from './books.ts'
import { type LossyWire, lossyWire } from './lossy-wire.ts'
import { type Market, type MarketOptions, openMarket } from './market.ts'
import { rush } from './rush.ts'
import { type Line, lineOf } from './table.ts'

/** The servers of a run, and how many buyers come. */
export interface Setting {
  /** For logs and configuration. */
  readonly folder: string
  readonly postgresUrl: string
  readonly requests: number
  /** Default 100. */
  readonly stock?: number
}

const STOCK = 100
const ENDED_TIMEOUT_MS = 90_000
const KILLS = 3

/** Sells by sagas while nothing goes wrong. */
export function sagas(setting: Setting): Promise<Line> {
  return play('order, then stock, by a saga', setting, { sale: 'saga-sale' })
}

/** The same with a compensation that takes back "the last order" of a buyer instead of its own. */
export function sagasTakingBackTheLastOrder(setting: Setting): Promise<Line> {
  const env = { orders: { TAKES_BACK: 'the last order' } }
  return play('the same, taking back "the last order"', setting, { sale: 'saga-sale', env })
}

/** Sells by sagas while the relay is killed at three moments of chance, and started again. */
export function sagasWithKilledRelay(setting: Setting, random = Math.random): Promise<Line> {
  return play('a saga, relay killed three times', setting, { sale: 'saga-sale' }, async (market) => {
    const moments = Array.from({ length: KILLS }, () => 0.05 + 0.8 * random()).sort((one, other) => one - other)
    for (const moment of moments) {
      await untilOrders(market, moment * setting.requests)
      await market.relay.end('SIGKILL')
      await sleep(200 * random())
      await market.relay.start()
    }
  })
}

/** Sells by sagas over a network that loses a fifth of the answers and doubles every twentieth request. */
export async function sagasOverLossyWire(setting: Setting, seed = Date.now()): Promise<Line> {
  const wires: LossyWire[] = []
  const through = async (url: string) => {
    const wire = await lossyWire(url, { dropped: 0.2, doubled: 0.05, random: seededRandom(seed + wires.length) })
    wires.push(wire)
    return wire.url
  }
  try {
    const line = await play('a saga, 20 % of answers lost, 5 % of calls doubled', setting, {
      sale: 'saga-sale',
      through,
    })
    if (wires.some(({ dropped, doubled }) => dropped === 0 || doubled === 0)) throw new Error('nothing was lost')
    return line
  } finally {
    for (const wire of wires) await wire[Symbol.asyncDispose]()
  }
}

/** Sells as the compared system does; spread over some time it sells more, and loses track. */
export function locks(setting: Setting, overMs = 0): Promise<Line> {
  const run = overMs === 0 ? 'its algorithm with locks' : `the same, over ${overMs} ms`
  return play(run, setting, { sale: 'lock-sale', rush: { overMs } })
}

/** Sells by two-phase messages behind a counter in Redis. */
export async function admissions(setting: Setting & { readonly redisUrl: string }): Promise<Line> {
  const { requests, stock = STOCK, redisUrl } = setting
  const tag = `sale-${Math.random().toString(36).slice(2, 10)}`
  await using redis = await openRedis(redisUrl)
  await redis.client.set(`{${tag}}:stock:1`, stock)
  const env = { sale: { REDIS_URL: redisUrl, TAG: tag } }
  const connections = Math.min(requests, 1000)
  return await play('admitted by Redis, then a message; warmed up', setting, {
    sale: 'admitting-sale',
    env,
    rush: { connections },
    warmUp: { requests, connections },
    transactions: stock,
  })
}

/** A connection to Redis that ends with its scope. */
export async function openRedis(url: string) {
  const client = createClient({ url })
  client.on('error', () => undefined)
  await client.connect()
  return { client, [Symbol.asyncDispose]: async () => client.destroy() }
}

interface Play extends Pick<MarketOptions, 'sale' | 'env' | 'through'> {
  readonly rush?: { readonly connections?: number; readonly overMs?: number }
  /** Buyers who come before, for something that is not sold here. */
  readonly warmUp?: { readonly requests: number; readonly connections: number }
  /** How many transactions there have to be in the end, at least; default as many as requests, none for locks. */
  readonly transactions?: number
}

async function play(
  run: string,
  { folder, postgresUrl, requests, stock = STOCK }: Setting,
  { rush: how = {}, warmUp, transactions, ...market }: Play,
  meanwhile: (market: Market) => Promise<void> = async () => undefined,
): Promise<Line> {
  const name = run.replaceAll(/\W+/g, '-')
  await using open = await openMarket({ folder: join(folder, name), postgresUrl, stock: [stock], ...market })
  if (warmUp !== undefined) await rush(open.url, { ...warmUp, goodsId: 2 })
  const [told] = await Promise.all([rush(open.url, { requests, ...how }), meanwhile(open)])
  const least = transactions ?? (market.sale === 'lock-sale' ? 0 : requests)
  const isEnded = await untilEnded(open, least, ENDED_TIMEOUT_MS)
  const line = await lineOf(run, open, told, stock)
  return isEnded ? line : { ...line, wrong: [...line.wrong, 'not all have ended'] }
}

async function untilOrders({ orders }: Market, count: number): Promise<void> {
  for (;;) {
    const { rowCount } = await orders.query('select from orders')
    if ((rowCount ?? 0) >= count) return
    await sleep(20)
  }
}
