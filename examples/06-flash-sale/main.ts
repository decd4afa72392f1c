/**
 * A flash sale: units are deducted in Redis, orders are made in PostgreSQL, and whoever is killed, the numbers are the
 * same in the end.
 *
 *   --units N           how many there are, default 1000; a fifth more people want one
 *   --kill-every 700ms  kills somebody all the time, instead of five times
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { startPostgres } from '@postcommit/relay/dev'
import { giveBack, rush, type Told } from './crowd.ts'
import { killAllTheTime, killInTurn } from './killer.ts'
import { type Market, type Numbers, openMarket } from './market.ts'
import { showProgress } from './progress.ts'

const FOLDER = '.postcommit/flash-sale'
const QUIET_MS = 60_000

const { values } = parseArgs({ options: { units: { type: 'string' }, 'kill-every': { type: 'string' } } })
const units = Number(values.units ?? 1000)
const killEveryMs = values['kill-every'] === undefined ? undefined : Number(values['kill-every'].replace(/ms$/, ''))
if (!(units >= 100 && units <= 1_000_000 && (killEveryMs === undefined || killEveryMs >= 100))) {
  console.error('--units 100 … 1000000, --kill-every 100ms or more')
  process.exit(2)
}

const { DATABASE_URL } = process.env
const own = DATABASE_URL === undefined ? await startPostgres({ dataDir: `${FOLDER}/postgres` }) : undefined
try {
  const postgresUrl = DATABASE_URL ?? own?.url ?? ''
  const market = await openMarket({ folder: FOLDER, postgresUrl, units, postgres: own })
  try {
    const { deducted, orders, sold } = await play(market)
    const is = deducted === orders && orders === sold ? '=' : '≠'
    console.log(`deducted ${count(deducted)} ${is} orders ${count(orders)} ${is} sold ${count(sold)}`)
    if (is === '≠') process.exitCode = 1
  } finally {
    await market.close()
  }
} finally {
  await own?.stop()
}

function count(number: number): string {
  return number.toLocaleString('en')
}

async function play(market: Market): Promise<Numbers> {
  const people = Math.ceil(1.2 * units)
  console.log(`${count(units)} units and ${count(people)} people, each of whom clicks twice`)
  const killer = killEveryMs === undefined ? killInTurn(market, people) : killAllTheTime(market, killEveryMs)
  const progress = showProgress(market, killer, killEveryMs !== undefined)
  const onAnswered = (told: Told) => {
    killer.answered(told)
    progress.answered(told)
  }
  const { served, refused } = await rush(market.url, { from: 1, people, clicksEach: 2, onAnswered })
  await killer.stop()
  progress.stop()
  console.log(`  ${count(served)} people have one, ${count(refused)} were told that there are none left`)
  console.log(`  killed meanwhile: ${[...killer.kills].map(([victim, times]) => `${victim} ${times}`).join(', ')}`)
  await untilQuiet(market)

  const unpaid = Math.floor(units / 10)
  console.log(`${count(unpaid)} do not pay`)
  const { rows } = await market.pool.query<{ gid: string }>('select gid from orders order by id limit $1', [unpaid])
  const [first, again] = await giveBack(
    market.url,
    rows.map(({ gid }) => gid),
  )
  console.log(`  ${count(first)} units came back, and ${again} when asked a second time`)
  const late = await rush(market.url, { from: people + 1, people: unpaid + 1, clicksEach: 1, atOnce: 16 })
  console.log(`  ${count(late.served)} other people have them, ${late.refused} came too late`)
  return await untilQuiet(market)
}

/** Until what was taken in Redis is written in PostgreSQL, or a minute is over. */
async function untilQuiet(market: Market): Promise<Numbers> {
  const until = performance.now() + QUIET_MS
  for (;;) {
    const { deducted, orders, sold } = await market.numbers()
    if ((deducted === orders && orders === sold) || performance.now() > until) return { deducted, orders, sold }
    await sleep(50)
  }
}
