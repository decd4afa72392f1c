import { join } from 'node:path'
import { beforeAll, expect, test } from 'vitest'
import { openArrivals, sortRepetitions } from '../../examples/shop/arrivals.ts'
import { type Books, discrepancies, readLedger } from '../../examples/shop/ledger.ts'
import { TABLES } from '../../examples/shop/schema.ts'
import { database } from '../support/database.ts'
import { privateFolder, privatePostgres } from '../support/private-servers.ts'

let serverUrl: string

beforeAll(async () => {
  const postgres = await privatePostgres({ settings: { track_commit_timestamp: 'on' } })
  serverUrl = postgres.url
  return () => postgres[Symbol.asyncDispose]()
})

/** What happened: the orders in the order of their commits, and what each end saw, in the order in which it did. */
interface Story {
  readonly orders: readonly string[]
  readonly arrived: readonly string[]
  readonly effects: readonly string[]
}

const SOUND: Story = { orders: ['a', 'b', 'c'], arrived: ['a', 'b', 'c'], effects: ['a', 'b', 'c'] }

/** Tells a story to both ends alike; all orders have the same key. */
async function tell({ orders, arrived, effects }: Story, confirmed = orders) {
  await using db = await database({ server: serverUrl, migrated: false })
  for (const table of Object.values(TABLES)) await db.pool.query(table)
  for (const id of orders) await db.pool.query(`insert into orders values ($1, 'customer', 'sku', 1)`, [id])
  for (const id of effects) {
    await db.pool.query(`insert into deductions values ($1, 'sku', 1)`, [id])
    await db.pool.query(`insert into mails values ($1, 'customer')`, [id])
  }
  const arrivals = join(await privateFolder('ledger'), 'arrivals.jsonl')
  for (const id of arrived) openArrivals(arrivals).note({ messageId: `${id}:1`, orderId: id })
  const end = { pool: db.pool, arrivals }
  const books: Books = { orders: db.pool, stock: end, mail: end }
  const ledger = await readLedger(books, confirmed)
  return { ledger, found: discrepancies(ledger) }
}

test('finds nothing where every order took effect once and in order', async () => {
  const { ledger, found } = await tell(SOUND)
  expect(found).toEqual([])
  expect(ledger).toMatchObject({ orders: 3, stock: { effects: 3, rawDuplicates: 0 }, mail: { effects: 3 } })
})

test('counts repeated arrivals, which are allowed, at any later time', async () => {
  const { ledger, found } = await tell({ ...SOUND, arrived: ['a', 'a', 'b', 'a', 'c'] })
  expect(found).toEqual([])
  expect(ledger.stock.rawDuplicates).toBe(2)
})

test('says what brought a message of a stream again', () => {
  const of = (messageId: string, sequence: number, attempt = 1) => ({ messageId, orderId: 'a', sequence, attempt })
  const arrivals = [of('a', 1), of('b', 2), of('a', 1, 2), of('a', 1), of('b', 3), of('b', 3), of('b', 3, 2)]
  expect(sortRepetitions(arrivals)).toEqual({ retried: 2, redelivered: 2, republished: 1 })
})

test.each<[string, Partial<Story>, string[]]>([
  ['an order without an effect', { effects: ['a', 'c'] }, ['stock: 1 lost (b)', 'mail: 1 lost (b)']],
  ['an effect without an order', { effects: ['a', 'b', 'c', 'd'] }, ['stock: 1 phantom (d)', 'mail: 1 phantom (d)']],
  ['an effect too many', { effects: ['a', 'b', 'b', 'c'] }, ['stock: 1 repeated (b)', 'mail: 1 repeated (b)']],
  ['one arrival too early', { arrived: ['b', 'a', 'c'] }, ['stock: 1 outOfOrder (a)', 'mail: 1 outOfOrder (a)']],
])('finds %s', async (_, changed, expected) => {
  expect((await tell({ ...SOUND, ...changed })).found).toEqual(expected)
})

test('finds an order that a customer was told is placed, and is not there', async () => {
  expect((await tell(SOUND, ['a', 'd'])).found).toEqual(['customers: 1 forgotten (d)'])
})
