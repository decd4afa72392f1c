import { join } from 'node:path'
import type { NatsServer, PostgresServer } from '@postcommit/relay/dev'
import { expect } from 'vitest'
import { discrepancies, type Ledger, readLedger } from '../../examples/shop/ledger.ts'
import type { Load } from '../../examples/shop/load.ts'
import { untilQuiet } from '../../examples/shop/observe.ts'
import { openShop, type Shop, type ShopOptions } from '../../examples/shop/shop.ts'
import { builtPackages } from '../support/built-packages.ts'
import { privateFolder, privateNats, privatePostgres } from '../support/private-servers.ts'

/** A shop on servers of its own, all of which may be killed. */
export interface TestShop extends Shop {
  readonly postgres: PostgresServer
  readonly nats: NatsServer
  /** The only relay, or the first of several. */
  readonly relay: Shop['relays'][number]
  readonly mail: NonNullable<Shop['mail']>
  [Symbol.asyncDispose](): Promise<void>
}

const QUIET_TIMEOUT_MS = 30_000

/** Opens a shop and starts its cast. */
export async function testShop(options: Partial<ShopOptions> = {}): Promise<TestShop> {
  await builtPackages()
  const folder = await privateFolder('shop')
  const [postgres, nats] = await Promise.all([
    privatePostgres({ settings: { track_commit_timestamp: 'on' } }),
    privateNats(),
  ])
  const close = async () => {
    await Promise.all([postgres[Symbol.asyncDispose](), nats[Symbol.asyncDispose]()])
  }
  try {
    const at = { folder: join(folder, 'shop'), postgresUrl: postgres.url, natsUrl: nats.url, relays: 1 }
    const shop = await openShop({ ...at, ...options })
    const { mail, relays } = shop
    const [relay] = relays
    if (mail === undefined || relay === undefined) throw new Error('a shop with NATS has a mail service and a relay')
    await shop.start()
    return Object.assign(shop, {
      postgres,
      nats,
      mail,
      relay,
      [Symbol.asyncDispose]: async () => {
        await shop.close()
        await close()
      },
    })
  } catch (error) {
    await close()
    throw error
  }
}

/**
 * Lets the customers finish, waits until nothing is left to do, and demands that every order of the batch took effect
 * exactly once and in order at both ends, that nothing else did, and that no customer was told otherwise.
 */
export async function expectSound(shop: TestShop, load: Load, batch: string): Promise<Ledger> {
  await load.stop()
  const isQuiet = await untilQuiet(shop.books, QUIET_TIMEOUT_MS)
  const ledger = await readLedger(shop.books, load.confirmed, batch)
  expect(discrepancies(ledger)).toEqual([])
  expect(isQuiet, `everything is delivered within ${QUIET_TIMEOUT_MS} ms`).toBe(true)
  expect(ledger.orders).toBe(load.confirmed.length)
  expect(ledger.stock.effects).toBe(ledger.orders)
  expect(ledger.mail?.effects).toBe(ledger.orders)
  return ledger
}
