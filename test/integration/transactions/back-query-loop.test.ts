import { createRelay, type Relay, type RelayOptions } from '@postcommit/relay'
import { pino } from 'pino'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { transactionPage } from '../../../relay/operators/read-transactions.ts'
import { gidOf, messageTo } from '../../support/coordinators.ts'
import { database, type TestDatabase } from '../../support/database.ts'
import { eventually } from '../../support/eventually.ts'
import { type HttpService, httpService } from '../../support/http-service.ts'
import { storedTransaction } from '../../support/transactions.ts'

let db: TestDatabase
let orders: HttpService
let stock: HttpService
let relay: Relay
let say: (question: { gid: string; nonce: string }) => { status: number; body: string }

const verdict = (outcome: string) => (question: { gid: string; nonce: string }) => ({
  status: 200,
  body: JSON.stringify({ ...question, outcome }),
})

beforeEach(async () => {
  db = await database()
  say = verdict('committed')
  stock = await httpService()
  orders = await httpService(({ body }, response) => {
    const { gid, nonce } = JSON.parse(body.toString())
    const answer = say({ gid, nonce })
    response.writeHead(answer.status, { 'content-type': 'application/json' }).end(answer.body)
    return undefined
  })
})
afterEach(async () => {
  await relay.stop()
  await Promise.all([orders[Symbol.asyncDispose](), stock[Symbol.asyncDispose]()])
  await db.drop()
})

async function start(options: Partial<RelayOptions> = {}): Promise<NonNullable<Relay['transactions']>> {
  relay = createRelay({
    db: db.url,
    destinations: { stock: { url: stock.url }, orders: { url: orders.url } },
    coordinator: { database: 'main' },
    log: pino({ level: 'silent' }),
    drainMs: 500,
    ...options,
  })
  await relay.start()
  if (relay.transactions === undefined) throw new Error('nothing is coordinated')
  return relay.transactions
}

const prepared = (checkAfterMs: number) =>
  messageTo({ backQuery: { target: { destination: 'orders', path: '/back-query' }, checkAfterMs } })

describe('a prepared message that nobody submits', () => {
  test('is asked about when its time has come, and delivered if it was committed', async () => {
    const transactions = await start()
    const gid = gidOf('asked')
    await transactions.perform({ do: 'prepare', gid, transaction: prepared(300) })
    expect(await transactions.perform({ do: 'query', gid, waitMs: 10_000 })).toMatchObject({ outcome: 'done' })
    expect(orders.calls).toHaveLength(1)
    expect(stock.calls).toHaveLength(1)
  })

  test('is given up if it was not', async () => {
    say = verdict('aborted')
    const transactions = await start()
    const gid = gidOf('asked')
    await transactions.perform({ do: 'prepare', gid, transaction: prepared(50) })
    expect(await transactions.perform({ do: 'query', gid, waitMs: 10_000 })).toMatchObject({
      outcome: 'failed',
      reason: 'the local transaction was rolled back',
    })
    expect(stock.calls).toHaveLength(0)
  })

  test.each([
    ['an error', { status: 500, body: 'no' }],
    ['a page for people', { status: 200, body: '<html>ok</html>' }],
    [
      'an answer to another question',
      { status: 200, body: '{"gid":"x","nonce":"0123456789abcdef","outcome":"committed"}' },
    ],
    ['not yet', undefined],
  ])('is not decided by %s', async (_, answer) => {
    say = (question) => answer ?? verdict('in_progress')(question)
    const transactions = await start()
    const gid = gidOf('asked')
    await transactions.perform({ do: 'prepare', gid, transaction: prepared(50) })
    await eventually(() => expect(orders.calls.length).toBeGreaterThan(2))
    expect((await storedTransaction(db.pool, gid)).status).toBe('prepared')
    expect(stock.calls).toHaveLength(0)
    say = verdict('committed')
    expect(await transactions.perform({ do: 'query', gid, waitMs: 10_000 })).toMatchObject({ outcome: 'done' })
  })

  test('is asked about in the database of its service', async () => {
    await using shop = await database()
    await shop.pool.query('create table orders (id int)')
    const transactions = await start({
      db: db.url,
      databases: { shop: shop.url },
      coordinator: { database: 'main', checks: { orders: 'shop' } },
    })
    const [committed, lost] = [gidOf('committed'), gidOf('lost')]
    await shop.pool.query(
      `insert into postcommit.barrier (gid, branch, op, reason) values ($1, '', 'commit', 'commit')`,
      [committed],
    )
    for (const gid of [committed, lost]) await transactions.perform({ do: 'prepare', gid, transaction: prepared(50) })
    expect(await transactions.perform({ do: 'query', gid: committed, waitMs: 10_000 })).toMatchObject({
      outcome: 'done',
    })
    expect(await transactions.perform({ do: 'query', gid: lost, waitMs: 10_000 })).toMatchObject({ outcome: 'failed' })
    expect(orders.calls).toHaveLength(0)
  })
})

test('what an initiator leaves undecided is given up at its deadline, and undone', async () => {
  const transactions = await start()
  const gid = gidOf('forgotten')
  const transaction = { mode: 'tcc', branches: [], options: { timeoutMs: 400 } } as const
  await transactions.perform({ do: 'prepare', gid, transaction })
  const at = (path: string) => ({ destination: 'stock', path })
  const branch = { branch: '01', ops: { confirm: at('/confirm'), cancel: at('/cancel') }, payload: '{}' }
  await transactions.perform({ do: 'registerBranch', gid, mode: 'tcc', branch })
  expect(await transactions.perform({ do: 'query', gid, waitMs: 10_000 })).toEqual({
    outcome: 'failed',
    gid,
    status: 'failed',
    reason: 'the time limit has passed',
  })
  expect(stock.calls.map(({ path }) => path)).toEqual(['/cancel'])
  expect(orders.calls).toHaveLength(0)
})

test('what waits for a service that is away is shown with the reason, whether it was asked about or not', async () => {
  const transactions = await start()
  await orders.kill()
  const gids = Array.from({ length: 40 }, () => gidOf('away'))
  for (const gid of gids) await transactions.perform({ do: 'prepare', gid, transaction: prepared(50) })
  const young = gidOf('young')
  await transactions.perform({ do: 'prepare', gid: young, transaction: prepared(60_000) })
  const shown = async () => (await transactionPage(db.pool, { inDoubt: true }, 100)).transactions
  await eventually(async () => {
    const found = await shown()
    expect(found.map(({ gid }) => gid).toSorted()).toEqual(gids.toSorted())
    for (const one of found) {
      expect(one).toMatchObject({
        inDoubt: true,
        asked: 0,
        lastError: expect.stringMatching(/^unreachable: .*ECONNREFUSED/),
      })
      expect(one.unreachableSince?.getTime()).toBeLessThanOrEqual(Date.now() + 1000)
    }
  })
  await relay.refreshMetrics()
  expect(await relay.metrics.registry.metrics()).toMatch(/postcommit_transactions_in_doubt\{source="main"\} 40/)
  await orders.restart()
  await eventually(async () => expect(await shown()).toEqual([]), { timeoutMs: 30_000 })
  expect((await db.pool.query('select from postcommit.check_outage')).rowCount).toBe(0)
})

test('what asks whom nobody knows is shown', async () => {
  const transactions = await start()
  const gid = gidOf('unknown')
  const backQuery = { target: { destination: 'nobody', path: '/' }, checkAfterMs: 1 }
  await transactions.perform({ do: 'prepare', gid, transaction: messageTo({ backQuery }) })
  await eventually(async () => {
    const { transactions: found } = await transactionPage(db.pool, { inDoubt: true }, 100)
    expect(found).toMatchObject([{ gid, inDoubt: true, unreachableSince: null }])
  })
})

test('ten thousand messages of a service that is away cost nothing, and are settled soon after its return', async () => {
  const transactions = await start()
  await orders.kill()
  const gids = Array.from({ length: 10_000 }, () => gidOf('away'))
  const transaction = prepared(1)
  await Promise.all(gids.map((gid) => transactions.perform({ do: 'prepare', gid, transaction })))
  await eventually(async () => expect(await count('prepared')).toBe(10_000))
  await new Promise((resolve) => setTimeout(resolve, 3000))
  const before = { cpu: process.cpuUsage(), at: performance.now() }
  await new Promise((resolve) => setTimeout(resolve, 3000))
  const { user, system } = process.cpuUsage(before.cpu)
  const share = (user + system) / 1000 / (performance.now() - before.at)
  // Another message gets on meanwhile.
  const gid = gidOf('other')
  expect(await transactions.perform({ do: 'submit', gid, transaction: messageTo(), waitMs: 2000 })).toMatchObject({
    outcome: 'done',
  })
  await orders.restart()
  await eventually(async () => expect(await count('prepared')).toBe(0), { timeoutMs: 90_000 })
  expect(share).toBeLessThan(0.05)
}, 180_000)

async function count(status: string): Promise<number> {
  const { rows } = await db.pool.query(
    'select count(*)::int as n from postcommit.global_transaction where status = $1',
    [status],
  )
  return rows[0]?.n
}
