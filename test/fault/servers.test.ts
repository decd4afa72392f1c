import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startLoad } from '../../examples/shop/load.ts'
import type { Stage } from './stage.ts'
import { expectSound, placesMore, testShop } from './test-shop.ts'

let shop: Stage

beforeAll(async () => {
  shop = await testShop({ relays: 2 })
})
afterAll(() => shop[Symbol.asyncDispose]())

const FAULTS: readonly { name: string; batch: string; fault: (shop: Stage) => Promise<void> }[] = [
  {
    name: 'PostgreSQL killed with SIGKILL and started again',
    batch: 'postgres-killed',
    async fault({ postgres }) {
      await postgres.kill()
      await postgres.start()
    },
  },
  {
    name: 'PostgreSQL restarted in an orderly way',
    batch: 'postgres-restarted',
    fault: ({ postgres }) => postgres.restart(),
  },
  {
    name: 'PostgreSQL stopped for 2 s',
    batch: 'postgres-stopped',
    async fault({ postgres }) {
      postgres.pause()
      await sleep(2000)
      postgres.resume()
    },
  },
  {
    name: 'NATS killed with SIGKILL and started again',
    batch: 'nats-killed',
    async fault({ nats }) {
      await nats.kill()
      await nats.start()
    },
  },
  {
    name: 'NATS restarted in an orderly way',
    batch: 'nats-restarted',
    fault: ({ nats }) => nats.restart(),
  },
  {
    name: 'NATS stopped for longer than an acknowledgement may take',
    batch: 'nats-stopped',
    async fault({ nats }) {
      nats.pause()
      await sleep(3500)
      nats.resume()
    },
  },
]

for (const { name, batch, fault } of FAULTS) {
  test(`${name}: nothing lost, nothing twice, in order`, async () => {
    const load = startLoad({ url: shop.url, batch })
    await placesMore(load)
    await fault(shop)
    await placesMore(load)
    await expectSound(shop, load, batch)
  })
}

test('nobody has exited, and nothing was set aside as if it were the fault of a message', async () => {
  const { orders, stock, mail, relays, books } = shop
  for (const program of [orders, stock, mail, ...relays]) expect(program.isRunning(), program.name).toBe(true)
  const { rows } = await books.orders.query(
    `select from postcommit.delivery where destination = 'nats' or state = 'dead'`,
  )
  expect(rows).toEqual([])
})
