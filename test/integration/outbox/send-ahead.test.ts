import pg from 'pg'
import { createOutbox } from 'postcommit'
import { afterAll, beforeAll, beforeEach, expect, test, vi } from 'vitest'
import { database, type TestDatabase } from '../../support/database.ts'

let db: TestDatabase
let pool: pg.Pool
let renamed: string | undefined
let readies = 0
/** The first connection of the pool, whose events are renamed, and what the pool has thrown away. */
let first: unknown
let thrownAway: Set<unknown>

beforeAll(async () => {
  db = await database()
  await db.pool.query('create table orders (id text primary key)')
})
afterAll(() => db.drop())
beforeEach(async () => {
  renamed = undefined
  first = undefined
  thrownAway = new Set()
  await db.pool.query('truncate orders, postcommit.outbox')
  pool = new pg.Pool({ connectionString: db.url, max: 1 })
  pool.on('remove', (client) => thrownAway.add(client))
  pool.on('connect', (client) => {
    client.on('error', () => undefined)
    const { connection } = client as unknown as { connection: Events }
    if (first === undefined) renameEvents(connection)
    first ??= client
    connection.on('readyForQuery', () => {
      readies += 1
    })
  })
  return () => pool.end()
})

interface Events {
  emit(event: string, ...args: unknown[]): boolean
  on(event: string, listener: () => void): void
}

/** A pg that calls one of its events differently from now on. */
function renameEvents(connection: Events): void {
  let current = connection.emit
  Object.defineProperty(connection, 'emit', {
    get: () => {
      const now = current
      return (event: string, ...args: unknown[]) =>
        now.call(connection, event === renamed ? `${event}2` : event, ...args)
    },
    set: (emit: Events['emit']) => {
      current = emit
    },
  })
}

const stored = async () => {
  const orders = await db.pool.query('select id from orders')
  const messages = await db.pool.query('select topic from postcommit.outbox')
  return [orders.rowCount, messages.rowCount]
}
const place = (rename?: string, sendAhead?: boolean) =>
  createOutbox({ db: pool, wake: 'off', ...(sendAhead !== undefined && { sendAhead }) }).commit(async (tx, message) => {
    await tx.query('insert into orders (id) values (1)')
    message.publish('a.b', 1)
    renamed = rename
  })

const EVENTS = ['parseComplete', 'bindComplete', 'commandComplete']

test.each(EVENTS)('a COMMIT whose %s is called differently ends the connection and is asked about', async (event) => {
  // The server has committed or not; what is told and what stands agree.
  const told = await place(event).then(
    () => [1, 1],
    () => [0, 0],
  )
  expect(await stored()).toEqual(told)
  await vi.waitFor(() => expect(thrownAway).toContain(first))
})

test.each(EVENTS)('a first statement whose %s is called differently is rejected', async (event) => {
  await pool.query('select')
  renamed = event
  await expect(place()).rejects.toThrow()
  expect(await stored()).toEqual([0, 0])
  await vi.waitFor(() => expect(thrownAway).toContain(first))
})

test('can be switched off: each statement is a round trip', async () => {
  await pool.query('select')
  const before = readies
  await place(undefined, false)
  expect(readies - before).toBe(4)
  expect(await stored()).toEqual([1, 1])
})
