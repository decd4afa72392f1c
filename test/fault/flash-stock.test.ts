/**
 * Many buyers and few goods: an order service and a stock service with a database each, and sagas between them. With
 * 5,000 buyers, and beside what has been published about the system that this is compared with: `npm run test:flash-stock`.
 */
import { describe, expect, inject, test } from 'vitest'
import { discrepancies, readBooks, untilEnded } from '../flash-stock/books.ts'
import { type MarketOptions, openMarket } from '../flash-stock/market.ts'
import { rush } from '../flash-stock/rush.ts'
import * as scenarios from '../flash-stock/scenarios.ts'
import { eventually } from '../support/eventually.ts'
import { createFaultProxy, type FaultProxy } from '../support/fault-proxy.ts'
import { privateFolder } from '../support/private-servers.ts'

const TIMEOUT_MS = 180_000

const setting = async (requests: number, stock = 100) => ({
  folder: await privateFolder('flash-stock'),
  postgresUrl: inject('postgresUrl'),
  requests,
  stock,
})
const market = async (options: Omit<MarketOptions, 'folder' | 'postgresUrl'>) =>
  openMarket({ folder: await privateFolder('flash-stock'), postgresUrl: inject('postgresUrl'), ...options })
const exactly = (sold: number, takenBack: number) => ({ sold, left: 0, takenBack, wrong: [] })

describe('a saga of order and stock', { timeout: TIMEOUT_MS }, () => {
  test('S1: a thousand buyers at once of a hundred goods: a hundred orders stand, and the stock is empty', async () => {
    expect(await scenarios.sagas(await setting(1000))).toMatchObject(exactly(100, 900))
  })

  test('S3: the same with the relay killed at three moments and started again', async () => {
    expect(await scenarios.sagasWithKilledRelay(await setting(300))).toMatchObject(exactly(100, 200))
  })

  test('S4: the same over a network that loses a fifth of the answers and doubles calls', async () => {
    expect(await scenarios.sagasOverLossyWire(await setting(300))).toMatchObject(exactly(100, 200))
  })

  test('S1, as a control: taking back "the last order" leaves orders that nothing was deducted for', async () => {
    const line = await scenarios.sagasTakingBackTheLastOrder(await setting(200, 20))
    expect(line.left).toBe(0)
    expect(line.sold).toBeGreaterThan(20)
    expect(line.wrong).not.toEqual([])
  })
})

describe('S7: two goods', { timeout: TIMEOUT_MS }, () => {
  /** Somebody is busy with the first of the goods when the second is asked for. */
  async function whileTheFirstIsBusy(sale: 'saga-sale' | 'lock-sale') {
    await using open = await market({ sale, stock: [5, 5] })
    const busy = await open.stock.connect()
    await busy.query('begin')
    await busy.query('select from stock where goods_id = 1 for update')
    const first = rush(open.url, { requests: 8, goodsId: 1 })
    await eventually(async () => {
      const { rowCount } = await open.orders.query('select from orders where goods_id = 1')
      expect(rowCount).toBeGreaterThan(0)
    })
    const second = await rush(open.url, { requests: 8, goodsId: 2 })
    const meanwhile = (await readBooks(open)).stock
    await busy.query('commit')
    busy.release()
    const told = { sold: [...(await first).sold, ...second.sold], refused: 0, unclear: 0, seconds: 0 }
    await untilEnded(open, 0, 30_000)
    const books = await readBooks(open)
    return { second: second.sold.length, meanwhile, left: books.stock, wrong: discrepancies(books, 10, told) }
  }

  test('are sold side by side: nobody waits for the other', async () => {
    const seen = await whileTheFirstIsBusy('saga-sale')
    expect(seen).toEqual({ second: 5, meanwhile: [5, 0], left: [0, 0], wrong: [] })
  })

  test('as a control: with one lock for all of them the second is not sold', async () => {
    expect(await whileTheFirstIsBusy('lock-sale')).toMatchObject({ second: 0, meanwhile: [5, 5] })
  })
})

describe('S8: who was asked is killed between the order and the stock', { timeout: TIMEOUT_MS }, () => {
  test.each([
    ['there is one left', 1, { standing: 1, takenBack: 0 }],
    ['there is none left', 0, { standing: 0, takenBack: 1 }],
  ])('%s: the order stands or is taken back', async (_, stock, expected) => {
    const proxies: FaultProxy[] = []
    const through = async (url: string) => {
      const { hostname: host, port } = new URL(url)
      const proxy = await createFaultProxy({ target: { host, port: Number(port) } })
      proxies.push(proxy)
      return proxy.through(url).replace(/\/$/, '')
    }
    await using open = await market({ sale: 'saga-sale', stock: [stock], through })
    const [, toStock] = proxies
    toStock?.blackhole()
    const asked = rush(open.url, { requests: 1 })
    await eventually(async () => expect((await readBooks(open)).standing).toHaveLength(1))
    await open.sale.end('SIGKILL')
    const told = await asked
    expect(told).toMatchObject({ sold: [], unclear: 1 })
    toStock?.heal()
    expect(await untilEnded(open, 1, 30_000)).toBe(true)
    const books = await readBooks(open)
    expect({ standing: books.standing.length, takenBack: books.takenBack.length }).toEqual(expected)
    expect(discrepancies(books, stock, told)).toEqual([])
    for (const proxy of proxies) await proxy.close()
  })

  test('as a control: whoever calls both himself leaves an order that nothing was deducted for', async () => {
    await using open = await market({ sale: 'lock-sale', stock: [1], env: { sale: { DIES_BETWEEN: 'yes' } } })
    const told = await rush(open.url, { requests: 1 })
    expect(await open.sale.ended()).toBe('SIGKILL')
    expect(discrepancies(await readBooks(open), 1, told)).toEqual(['0 deducted for 1 that stand'])
  })
})

describe('goods that are given out by a counter in Redis', { timeout: TIMEOUT_MS }, () => {
  test('S6: everybody is answered at once, and a hundred orders follow', async () => {
    const line = await scenarios.admissions({ ...(await setting(1000)), redisUrl: inject('redisUrl') })
    expect(line).toMatchObject(exactly(100, 0))
  })

  test('F2: who is killed right after the deduction has sold: three of the next ten get one of four, and four orders follow', async () => {
    const tag = `sale-${Math.random().toString(36).slice(2, 10)}`
    await using redis = await scenarios.openRedis(inject('redisUrl'))
    await redis.client.set(`{${tag}}:stock:1`, 4)
    const env = { sale: { REDIS_URL: inject('redisUrl'), TAG: tag } }
    await using open = await market({ sale: 'admitting-sale', stock: [4], env })
    await open.sale.end('SIGKILL')
    await open.sale.start({ DIES_ADMITTED: 'yes' })
    expect(await rush(open.url, { requests: 1 })).toMatchObject({ sold: [], unclear: 1 })
    expect(await redis.client.get(`{${tag}}:stock:1`)).toBe('3')
    expect((await readBooks(open)).standing).toEqual([])
    await open.sale.start()
    const told = await rush(open.url, { requests: 10 })
    expect(told).toMatchObject({ refused: 7, unclear: 0 })
    expect(told.sold).toHaveLength(3)
    await eventually(async () => expect((await readBooks(open)).standing).toHaveLength(4), { timeoutMs: 20_000 })
    expect(await untilEnded(open, 4, 20_000)).toBe(true)
    const books = await readBooks(open)
    expect(books.standing).toEqual(expect.arrayContaining([...told.sold]))
    expect(discrepancies(books, 4, { ...told, unclear: 1 })).toEqual([])
    expect(await redis.client.get(`{${tag}}:stock:1`)).toBe('0')
  })
})
