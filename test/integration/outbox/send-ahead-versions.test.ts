import newest from 'pg'
import oldest from 'pg-8.11'
import middle from 'pg-8.16'
import { createOutbox } from 'postcommit'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { database, type TestDatabase } from '../../support/database.ts'

// A pg that does not tell the state of its transaction gets each statement by itself; what is committed is the same.
const VERSIONS = [
  ['8.11', oldest],
  ['8.16', middle],
  ['newest', newest],
] as const

let db: TestDatabase
beforeAll(async () => {
  db = await database()
  await db.pool.query('create table orders (id text primary key)')
})
afterAll(() => db.drop())
beforeEach(() => db.pool.query('truncate orders, postcommit.outbox'))

const stored = async () => {
  const orders = await db.pool.query('select id from orders')
  const messages = await db.pool.query('select topic from postcommit.outbox')
  return [orders.rowCount, messages.rowCount]
}

describe.each(VERSIONS)('over pg %s', (_, pg) => {
  let pool: newest.Pool
  let readies = 0
  beforeEach(() => {
    pool = new pg.Pool({ connectionString: db.url, max: 1 })
    pool.on('connect', (client) => {
      const { connection } = client as unknown as { connection: { on(event: string, listener: () => void): void } }
      connection.on('readyForQuery', () => {
        readies += 1
      })
    })
    return () => pool.end()
  })
  const place = (id: string) =>
    createOutbox({ db: pool, wake: 'off' }).commit(async (tx, message) => {
      await tx.query('insert into orders (id) values ($1)', [id])
      message.publish('a.b', 1)
    })

  test('a commit is two round trips, or four where the client does not tell its state', async () => {
    const client = await pool.connect()
    const tells = typeof client.getTransactionStatus === 'function'
    client.release()
    await pool.query('select')
    const before = readies
    await place('1')
    expect(readies - before).toBe(tells ? 2 : 4)
    expect(await stored()).toEqual([1, 1])
  })

  test('a first statement that fails leaves nothing, and the connection serves the next commit', async () => {
    await place('1')
    await expect(place('1')).rejects.toMatchObject({ code: '23505' })
    expect(await stored()).toEqual([1, 1])
    await place('2')
    expect(await stored()).toEqual([2, 2])
  })
})
