import { expect } from 'vitest'
import { discrepancies, type Ledger, readLedger } from '../../examples/shop/ledger.ts'
import type { Load } from '../../examples/shop/load.ts'
import { untilQuiet } from '../../examples/shop/observe.ts'
import type { Shop } from '../../examples/shop/shop.ts'
import { eventually } from '../support/eventually.ts'
import { privateFolder } from '../support/private-servers.ts'
import { type ClusterStage, openClusterStage, openStage, type Stage, type StageOptions } from './stage.ts'

const QUIET_TIMEOUT_MS = 60_000

/** A stage that is removed with the test run. */
export async function testShop(options: StageOptions = {}): Promise<Stage> {
  return await openStage(await privateFolder('shop'), options)
}

/** A stage with three NATS nodes that is removed with the test run. */
export async function testClusterShop(options: StageOptions = {}): Promise<ClusterStage> {
  return await openClusterStage(await privateFolder('shop'), options)
}

/** Resolves when the customers have placed so many more orders: the shop is at work, or at work again. */
export async function placesMore(load: Load, orders = 30): Promise<void> {
  const enough = load.confirmed.length + orders
  await eventually(() => expect(load.confirmed.length).toBeGreaterThanOrEqual(enough), {
    timeoutMs: QUIET_TIMEOUT_MS,
  })
}

/**
 * Lets the customers finish, waits until nothing is left to do, and demands that every order of the batch took effect
 * exactly once and in order at both ends, that nothing else did, and that no customer was told otherwise.
 */
export async function expectSound({ books }: Shop, load: Load, batch: string): Promise<Ledger> {
  await load.stop()
  const isQuiet = await untilQuiet(books, QUIET_TIMEOUT_MS)
  const ledger = await readLedger(books, load.confirmed, batch)
  expect(discrepancies(ledger)).toEqual([])
  expect(isQuiet, `everything is delivered within ${QUIET_TIMEOUT_MS} ms`).toBe(true)
  expect(ledger.orders).toBe(load.confirmed.length)
  expect(ledger.stock.effects).toBe(ledger.orders)
  expect(ledger.mail?.effects).toBe(ledger.orders)
  return ledger
}
