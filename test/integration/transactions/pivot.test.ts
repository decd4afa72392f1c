/** A call of a pivot that is lost on the way, and comes when its saga has turned back. */
import type pg from 'pg'
import { DeliveryRefused } from 'postcommit'
import { barrierFrom } from 'postcommit/barrier'
import type { TransactionDefinition } from 'postcommit/protocol'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { gidOf, type TestCoordinator, testCoordinator } from '../../support/coordinators.ts'
import { type Crossing, openCrossing } from '../../support/crossing.ts'
import { database, type TestDatabase } from '../../support/database.ts'
import { impatient } from '../../support/dispatchers.ts'
import { type HttpService, httpService, type ReceivedCall } from '../../support/http-service.ts'

let db: TestDatabase
let shop: HttpService
let crossing: Crossing
let relay: TestCoordinator
let isPivot: boolean

beforeEach(async () => {
  db = await database()
  await db.pool.query(`create table account (cents int not null);
insert into account values (0);
create table payment (gid text not null)`)
  shop = await httpService(async (call) => (call.path === '/pay' ? await pay(call) : 200))
  crossing = await openCrossing(shop.url)
  relay = await testCoordinator(db.url, [impatient('shop', crossing.url)])
})
afterEach(async () => {
  await relay.end()
  await crossing.close()
  await shop[Symbol.asyncDispose]()
  await db.drop()
})

async function pay(call: ReceivedCall): Promise<number> {
  const barrier = barrierFrom({ headers: call.headers, url: call.path })
  const move = async (tx: pg.PoolClient): Promise<void> => {
    const { rowCount } = await tx.query('update account set cents = cents - 100 where cents >= 100')
    if (rowCount === 0) throw new DeliveryRefused('no cover')
    await tx.query('insert into payment values ($1)', [barrier.gid])
  }
  try {
    await barrier.call(db.pool, move, { pivot: isPivot })
    return 200
  } catch (error) {
    if (error instanceof DeliveryRefused) return 409
    throw error
  }
}

const shopAt = (path: string) => ({ destination: 'shop', path })
const PURCHASE: TransactionDefinition = {
  mode: 'saga',
  branches: [
    { branch: 'reserve', ops: { action: shopAt('/reserve'), compensate: shopAt('/release') }, payload: '{}' },
    { branch: 'pay', ops: { action: shopAt('/pay') }, payload: '{}' },
    { branch: 'mail', ops: { action: shopAt('/mail') }, payload: '{}', retryOnly: true },
  ],
  options: { requestTimeoutMs: 300, retry: { baseMs: 10, capMs: 50 } },
}

/**
 * The first call of the pivot is lost on the way and the second finds no money, so the saga is undone; then there is money,
 * and the first call arrives.
 * @returns what it is answered
 */
async function payLate(): Promise<number> {
  let isLost = true
  crossing.before = async ({ path }) => {
    if (path !== '/pay' || !isLost) return
    isLost = false
    throw new Error('lost')
  }
  const gid = gidOf('purchase')
  const told = await relay.perform({ do: 'submit', gid, transaction: PURCHASE, waitMs: 20_000 })
  expect(told).toMatchObject({ outcome: 'failed' })
  const paths = crossing.calls.map(({ path }) => path)
  expect(paths).toEqual(['/reserve', '/pay', '/pay', '/release'])
  expect(shop.calls.map(({ path }) => path)).toEqual(['/reserve', '/pay', '/release'])
  await db.pool.query('update account set cents = 100')
  const lost = crossing.calls.find(({ path }) => path === '/pay')
  if (lost === undefined) throw new Error('it was there')
  return await crossing.again(lost)
}
const payments = async () => (await db.pool.query('select from payment')).rowCount

test('is refused, and pays nothing', async () => {
  isPivot = true
  expect(await payLate()).toBe(409)
  expect(await payments()).toBe(0)
})

test('without { pivot: true } it pays for what was given back', async () => {
  isPivot = false
  expect(await payLate()).toBe(200)
  expect(await payments()).toBe(1)
})
