import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { giveBack, rush } from '../../examples/06-flash-sale/crowd.ts'
import { type Market, openMarket } from '../../examples/06-flash-sale/market.ts'
import { builtPackages } from '../support/built-packages.ts'
import { eventually } from '../support/eventually.ts'
import { privateFolder, privatePostgres } from '../support/private-servers.ts'

/** `npm run test:flash-sale` kills a hundred times. */
const KILLS = Number(process.env['POSTCOMMIT_SALE_KILLS'] ?? 12)
const PEOPLE_EACH = 300
/** Towards the end there are none left. */
const UNITS = Math.floor(PEOPLE_EACH * KILLS * 0.9)
const UNPAID = 200

test(`F2: the shop, the relay, Redis and PostgreSQL, ${KILLS} times killed: units, orders and what is sold are one number`, {
  timeout: 120_000 + KILLS * 10_000,
}, async () => {
  await builtPackages()
  await using postgres = await privatePostgres()
  const folder = await privateFolder('flash-sale')
  const market = await openMarket({ folder, postgresUrl: postgres.url, units: UNITS, postgres })
  try {
    let served = 0
    for (let kill = 0; kill < KILLS; kill += 1) {
      const clicking = rush(market.url, {
        from: 1 + kill * PEOPLE_EACH,
        people: PEOPLE_EACH,
        clicksEach: 2,
        atOnce: 32,
      })
      await sleep(Math.random() * 150)
      await killNext(market, kill)
      served += (await clicking).served
    }
    // Everybody was answered in the end, and what they were told is so.
    expect(served).toBe(UNITS)
    await equal(market, UNITS)

    const { rows } = await market.pool.query<{ gid: string }>('select gid from orders limit $1', [UNPAID])
    const returning = giveBack(
      market.url,
      rows.map(({ gid }) => gid),
    )
    for (let kill = 0; kill < market.victims.length; kill += 1) await killNext(market, kill)
    await returning
    await equal(market, UNITS - UNPAID)
  } finally {
    await market.close()
  }
})

async function killNext(market: Market, kill: number): Promise<void> {
  const victim = market.victims[kill % market.victims.length]
  if (victim !== undefined) await market.kill(victim)
}

async function equal(market: Market, number: number): Promise<void> {
  const all = { deducted: number, orders: number, sold: number }
  await eventually(async () => expect(await market.numbers()).toEqual(all), { timeoutMs: 30_000, everyMs: 100 })
}
