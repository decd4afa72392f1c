import type pg from 'pg'
import { createOutbox } from 'postcommit'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { discrepancies, readLedger } from '../../examples/shop/ledger.ts'
import { placeOrder, startLoad } from '../../examples/shop/load.ts'
import { eventually } from '../support/eventually.ts'
import { createFaultProxy, type FaultProxy } from '../support/fault-proxy.ts'
import type { Stage } from './stage.ts'
import { expectSound, placesMore, testShop } from './test-shop.ts'

let shop: Stage
/** Between the order service and its database. */
let proxy: FaultProxy

beforeAll(async () => {
  shop = await testShop({
    async through(url) {
      const { hostname, port } = new URL(url)
      proxy = await createFaultProxy({ target: { host: hostname, port: Number(port) } })
      return proxy.through(url)
    },
  })
})
afterAll(async () => {
  await shop[Symbol.asyncDispose]()
  await proxy.close()
})

const order = (orderId: string) => ({ orderId, customer: orderId, sku: orderId, quantity: 1 })

/** The same checks as after a load, for orders that were placed one by one. */
async function expectDelivered(orderId: string): Promise<void> {
  await eventually(async () => {
    const ledger = await readLedger(shop.books, [orderId], orderId)
    expect(discrepancies(ledger)).toEqual([])
    expect([ledger.orders, ledger.stock.effects, ledger.mail?.effects]).toEqual([1, 1, 1])
  })
}

test('a COMMIT whose answer is lost is looked up, and the customer is answered without asking again', async () => {
  const cut = proxy.cutWhen('down', (bytes) => bytes.includes('COMMIT\0'))
  await expect(placeOrder(shop.url, order('answer-lost'))).resolves.toBe('placed')
  await cut
  await expectDelivered('answer-lost')
})

test('a COMMIT that never arrived leaves nothing behind, and the order can be sent again', async () => {
  const cut = proxy.cutWhen('up', (bytes) => bytes.includes('commit\0'))
  await expect(placeOrder(shop.url, order('never-arrived'))).resolves.toBe('unknown')
  await cut
  const { rows } = await shop.books.orders.query(`select from postcommit.delivery where gid = 'never-arrived'`)
  expect(rows).toEqual([])
  await expect(placeOrder(shop.url, order('never-arrived'))).resolves.toBe('placed')
  await expectDelivered('never-arrived')
})

test('a transaction that stays open while others commit holds back none of them, and is delivered when it commits', async () => {
  const outbox = createOutbox({ db: shop.books.orders })
  const client = await shop.books.orders.connect()
  const load = startLoad({ url: shop.url, batch: 'meanwhile' })
  try {
    // Its messages have lower ids than everything that is committed in the meantime.
    await client.query('begin')
    await client.query(`insert into orders (id, customer, sku, quantity) values ('patient', 'patient', 'patient', 1)`)
    await outbox.add(
      client,
      (message) => {
        message.publish('order.placed', order('patient'), { key: 'patient' })
        message.call('stock', '/deduct', { orderId: 'patient', sku: 'patient', quantity: 1 }, { key: 'patient' })
      },
      { gid: 'patient' },
    )
    await placesMore(load, 100)
    const placed = [...load.confirmed]
    await eventually(
      async () => {
        const { rows } = (await shop.books.mail?.pool.query<{ id: string }>('select order_id as id from mails')) ?? {
          rows: [],
        }
        const mailed = new Set(rows.map(({ id }) => id))
        expect(placed.filter((id) => !mailed.has(id))).toEqual([])
      },
      { timeoutMs: 20_000 },
    )
    await client.query('commit')
    outbox.wake()
  } finally {
    client.release()
  }
  await expectSound(shop, load, 'meanwhile')
  await expectDelivered('patient')
})

test('a key that fails at its handler or subscriber holds back itself alone, and goes on in order', async () => {
  const { stock, mail, books } = shop
  await stock.end('SIGTERM')
  await mail.end('SIGTERM')
  await Promise.all([stock.start({ FAILING: 'anvil' }), mail.start({ FAILING: 'customer1' })])
  const load = startLoad({ url: shop.url, batch: 'failing' })
  await placesMore(load, 100)
  await load.stop()
  const count = async (pool: pg.Pool | undefined, sql: string) => (await pool?.query(sql))?.rowCount ?? 0
  const placedOthers = (column: string, failing: string) =>
    count(books.orders, `select from orders where starts_with(id, 'failing') and ${column} <> '${failing}'`)
  const deducted = (where: string) =>
    count(books.stock.pool, `select from deductions where starts_with(order_id, 'failing') and ${where}`)
  const mailed = (where: string) =>
    count(books.mail?.pool, `select from mails where starts_with(order_id, 'failing') and ${where}`)
  await eventually(async () => {
    expect(await deducted(`sku <> 'anvil'`)).toBe(await placedOthers('sku', 'anvil'))
    expect(await mailed(`customer <> 'customer1'`)).toBe(await placedOthers('customer', 'customer1'))
  })
  expect(await deducted(`sku = 'anvil'`)).toBe(0)
  expect(await mailed(`customer = 'customer1'`)).toBe(0)
  await stock.end('SIGTERM')
  await mail.end('SIGTERM')
  await Promise.all([stock.start(), mail.start()])
  await expectSound(shop, load, 'failing')
})
