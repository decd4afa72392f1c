/** One node of three is gone, stopped or cut off: the other two go on, and the books balance. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startLoad } from '../../examples/shop/load.ts'
import { STREAM } from '../../examples/shop/shop.ts'
import { eventually } from '../support/eventually.ts'
import type { NatsNode } from '../support/nats-cluster.ts'
import type { ClusterStage } from './stage.ts'
import { longest, watchStandstills } from './standstill.ts'
import { expectSound, placesMore, testClusterShop } from './test-shop.ts'

let shop: ClusterStage

beforeAll(async () => {
  shop = await testClusterShop({ relays: 2 })
})
afterAll(() => shop[Symbol.asyncDispose]())

const FAULTS: readonly { name: string; batch: string; fault: (leader: NatsNode) => Promise<void> }[] = [
  {
    name: 'killed with SIGKILL and started again',
    batch: 'killed',
    async fault(leader) {
      await leader.kill()
      await leader.start()
    },
  },
  {
    name: 'stopped until another one leads',
    batch: 'stopped',
    async fault(leader) {
      leader.pause()
      await untilAnotherLeads(leader)
      leader.resume()
    },
  },
  {
    name: 'cut off from its peers until another one leads',
    batch: 'cut-off',
    async fault(leader) {
      leader.cutOff('refused')
      await untilAnotherLeads(leader)
      await leader.rejoin()
    },
  },
]

async function untilAnotherLeads(leader: NatsNode): Promise<void> {
  const others = shop.nats.nodes.filter((node) => node !== leader)
  await eventually(async () => expect(others).toContain(await shop.nats.leaderOf(STREAM, others)), {
    timeoutMs: 60_000,
    everyMs: 100,
  })
}

for (const { name, batch, fault } of FAULTS) {
  test(`the leader of the stream ${name}: nothing lost, nothing twice, in order`, { timeout: 180_000 }, async () => {
    const leader = await shop.nats.leaderOf(STREAM)
    const watch = watchStandstills(shop.books.orders)
    const load = startLoad({ url: shop.url, batch })
    await placesMore(load)
    await fault(leader)
    await placesMore(load)
    await expectSound(shop, load, batch)
    console.log(`leader ${batch}: nothing confirmed for ${longest(await watch.stop()).toFixed(0)} ms`)
  })
}

test('every program still runs', () => {
  const { orders, stock, mail, relays } = shop
  for (const program of [orders, stock, mail, ...relays]) expect(program.isRunning(), program.name).toBe(true)
})
