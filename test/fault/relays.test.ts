import { afterAll, beforeAll, expect, test } from 'vitest'
import { startLoad } from '../../examples/shop/load.ts'
import { publishingRelay } from '../../examples/shop/observe.ts'
import type { Program } from '../../examples/shop/program.ts'
import { eventually } from '../support/eventually.ts'
import type { Stage } from './stage.ts'
import { expectSound, placesMore, testShop } from './test-shop.ts'

const LEASE_MS = 2000

let shop: Stage

beforeAll(async () => {
  shop = await testShop({ relays: 2, leaseMs: LEASE_MS })
})
afterAll(() => shop[Symbol.asyncDispose]())

/** The relay that publishes, and the one that stands by. */
async function roles(): Promise<{ publishing: Program; standingBy: Program }> {
  return await eventually(async () => {
    const name = await publishingRelay(shop.books)
    const publishing = shop.relays.find((relay) => relay.name === name)
    const standingBy = shop.relays.find((relay) => relay.name !== name)
    if (publishing === undefined || standingBy === undefined) throw new Error('no relay publishes')
    return { publishing, standingBy }
  })
}

test('a relay stopped past its lease is replaced, and changes nothing when it wakes up', async () => {
  const { publishing, standingBy } = await roles()
  const load = startLoad({ url: shop.url, batch: 'stopped' })
  await placesMore(load)
  publishing.pause()
  await eventually(async () => expect((await roles()).publishing.name).toBe(standingBy.name), {
    timeoutMs: 2 * LEASE_MS,
  })
  await placesMore(load)
  const before = publishing.lines.length
  publishing.resume()
  await eventually(() => expect(publishing.lines.slice(before).join('\n')).toMatch(/no longer taking part/))
  await eventually(() => expect(publishing.lines.slice(before).join('\n')).toMatch(/taking part\b.*relayId/))
  expect((await roles()).publishing.name).toBe(standingBy.name)
  await expectSound(shop, load, 'stopped')
})

test('a killed relay is replaced, and a new one takes its place', async () => {
  const { publishing, standingBy } = await roles()
  const load = startLoad({ url: shop.url, batch: 'killed' })
  await placesMore(load)
  await publishing.end('SIGKILL')
  await eventually(async () => expect((await roles()).publishing.name).toBe(standingBy.name), { timeoutMs: 2000 })
  await publishing.start()
  await placesMore(load)
  await expectSound(shop, load, 'killed')
})

test('a relay that is asked to stop hands over without a single repetition', async () => {
  const { publishing, standingBy } = await roles()
  const load = startLoad({ url: shop.url, batch: 'drained' })
  await placesMore(load)
  await publishing.end('SIGTERM')
  await expect(publishing.ended()).resolves.toBe(0)
  await eventually(async () => expect((await roles()).publishing.name).toBe(standingBy.name), { timeoutMs: 2000 })
  await publishing.start()
  await placesMore(load)
  const ledger = await expectSound(shop, load, 'drained')
  expect(ledger.stock.rawDuplicates).toBe(0)
  expect(ledger.mail?.rawDuplicates).toBe(0)
})
