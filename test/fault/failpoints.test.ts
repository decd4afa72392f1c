import { setTimeout as sleep } from 'node:timers/promises'
import type { Failpoint } from 'postcommit/protocol'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startLoad } from '../../examples/shop/load.ts'
import type { Program } from '../../examples/shop/program.ts'
import type { Stage } from './stage.ts'
import { expectSound, testShop } from './test-shop.ts'

type Role = 'orders' | 'relay' | 'stock' | 'mail'

/**
 * Who passes each point, and how often before it dies there: late enough to be in the middle of things. The shop has
 * a relay that reads its database; the points of commits that are announced are in announced-commits.test.ts.
 */
const VISITS = {
  'sdk.before_commit': { roles: ['orders'], pass: 20 },
  'sdk.after_commit': { roles: ['orders'], pass: 20 },
  'publisher.before_publish': { roles: ['relay'], pass: 10 },
  'publisher.mid_window': { roles: ['relay'], pass: 20 },
  'publisher.after_ack': { roles: ['relay'], pass: 10 },
  'publisher.after_save': { roles: ['relay'], pass: 10 },
  'dispatcher.after_claim': { roles: ['relay'], pass: 10 },
  'dispatcher.after_response': { roles: ['relay'], pass: 20 },
  'dispatcher.after_record': { roles: ['relay'], pass: 10 },
  'consumer.before_commit': { roles: ['stock', 'mail'], pass: 20 },
  'consumer.after_commit': { roles: ['stock', 'mail'], pass: 20 },
} as const satisfies Partial<Record<Failpoint, { roles: readonly Role[]; pass: number }>>

let shop: Stage

beforeAll(async () => {
  shop = await testShop()
})
afterAll(() => shop[Symbol.asyncDispose]())

for (const [label, { roles, pass }] of Object.entries(VISITS)) {
  for (const role of roles) {
    test(`${role} killed at ${label}: nothing lost, nothing twice, in order`, () => killAt(label, pass, role))
  }
}

async function killAt(label: string, pass: number, role: Role): Promise<void> {
  const batch = `${role}-${label.replace('.', '-')}`
  const program = programOf(role)
  await program.end('SIGKILL')
  const load = startLoad({ url: shop.url, batch })
  // It may get there before it has said that it is ready.
  await program.start({ NODE_ENV: 'test', POSTCOMMIT_FAILPOINTS: `${label}:kill:${pass}` }).catch(() => undefined)
  await expect(program.ended()).resolves.toBe('SIGKILL')
  await program.start()
  await sleep(300)
  await expectSound(shop, load, batch)
}

function programOf(role: Role): Program {
  if (role !== 'relay') return shop[role]
  const [relay] = shop.relays
  if (relay === undefined) throw new Error('there is no relay')
  return relay
}
