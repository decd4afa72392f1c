import { createRelay, type Relay } from '@postcommit/relay'
import { pino } from 'pino'
import { createOutbox } from 'postcommit'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { gidOf, sagaOf } from '../../support/coordinators.ts'
import { database, type TestDatabase } from '../../support/database.ts'
import { eventually } from '../../support/eventually.ts'
import { httpService } from '../../support/http-service.ts'

const PLACES = 4
let databases: TestDatabase[]
let relay: Relay | undefined

beforeEach(async () => {
  databases = await Promise.all([database(), database()])
})
afterEach(async () => {
  await relay?.stop()
  await Promise.all(databases.map((db) => db.drop()))
})

/** A service that takes its time, and counts how many calls it has at once. */
async function slowService(pauseMs: number) {
  const atOnce = { now: 0, most: 0 }
  const service = await httpService(async () => {
    atOnce.now += 1
    atOnce.most = Math.max(atOnce.most, atOnce.now)
    await new Promise((resolve) => setTimeout(resolve, pauseMs))
    atOnce.now -= 1
    return 204
  })
  return { service, atOnce }
}

test('the places of a destination are those of the relay: messages of two databases and sagas share them, and each gets on', async () => {
  const { service, atOnce } = await slowService(40)
  await using _ = service
  const [main, second] = databases
  relay = createRelay({
    databases: { main: main?.url ?? '', second: second?.url ?? '' },
    coordinator: { database: 'main' },
    destinations: { stock: { url: service.url, concurrency: PLACES } },
    log: pino({ level: 'silent' }),
    drainMs: 2000,
  })
  await relay.start()
  for (const { pool } of databases) {
    await createOutbox({ db: pool }).commit(async (_tx, message) => {
      for (let n = 0; n < 60; n += 1) message.call('stock', `/${pool === main?.pool ? 'first' : 'second'}`, n)
    })
  }
  const sagas = Array.from({ length: 30 }, (_item, n) => gidOf(`saga${n}`))
  const { transactions } = relay
  if (transactions === undefined) throw new Error('it coordinates none')
  await Promise.all(sagas.map((gid) => transactions.perform({ do: 'submit', gid, transaction: sagaOf(['a', 'b']) })))
  const paths = () => service.calls.map(({ path }) => path)
  await eventually(() => expect(service.calls).toHaveLength(180), { timeoutMs: 30_000 })
  expect(atOnce.most).toBe(PLACES)
  // Nobody waits for the others to have finished: in the first half of all calls there are some of each.
  const half = paths().slice(0, 90)
  for (const path of ['/first', '/second', '/a']) expect(half.filter((one) => one === path).length).toBeGreaterThan(5)
  const { values } = await relay.metrics.breaker.get()
  expect(values).toEqual([{ labels: { destination: 'stock' }, value: 0 }])
})

test('with one place messages and sagas take turns', async () => {
  const { service, atOnce } = await slowService(20)
  await using _ = service
  relay = createRelay({
    db: databases[0]?.url ?? '',
    coordinator: { database: 'main' },
    destinations: { stock: { url: service.url, concurrency: 1 } },
    log: pino({ level: 'silent' }),
    drainMs: 2000,
  })
  await relay.start()
  const pool = databases[0]?.pool
  if (pool === undefined) throw new Error('there is no database')
  await createOutbox({ db: pool }).commit(async (_tx, message) => {
    for (let n = 0; n < 80; n += 1) message.call('stock', '/message', n)
  })
  await eventually(() => expect(service.calls.length).toBeGreaterThan(3))
  const before = service.calls.length
  const gid = gidOf('saga')
  await relay.transactions?.perform({ do: 'submit', gid, transaction: sagaOf(['a', 'b']), waitMs: 30_000 })
  // The messages do not have to be done before the saga is.
  expect(service.calls.length - before).toBeLessThan(40)
  await eventually(() => expect(service.calls).toHaveLength(82), { timeoutMs: 30_000 })
  expect(atOnce.most).toBe(1)
})
