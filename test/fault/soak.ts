/**
 * `npm run test:fault`: customers order while services, relays and servers are killed, stopped and restarted at random
 * from outside; then everything is counted.
 *
 *   --seconds <n>   how long, default 60
 *   --seed <n>      which faults, default a new one each time
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { readArrivals, sortRepetitions } from '../../examples/shop/arrivals.ts'
import { type Account, discrepancies, readLedger } from '../../examples/shop/ledger.ts'
import { startLoad } from '../../examples/shop/load.ts'
import { untilQuiet } from '../../examples/shop/observe.ts'
import { type Fault, programFaults, serverFaults } from './faults.ts'
import { seededRandom } from './random.ts'
import { openStage, type Stage } from './stage.ts'

const { values } = parseArgs({ options: { seconds: { type: 'string' }, seed: { type: 'string' } } })
const seconds = Number(values.seconds ?? 60)
const seed = Number(values.seed ?? Math.floor(Math.random() * 1e9))
const LEASE_MS = 2000
const QUIET_TIMEOUT_MS = 60_000

const random = seededRandom(seed)
const between = (least: number, most: number) => least + random() * (most - least)
const startedAt = performance.now()
const counts = new Map<string, number>()

console.log(`seed ${seed}, ${seconds} s (again: npm run test:fault -- --seed ${seed} --seconds ${seconds})`)
const folder = await mkdtemp(join(tmpdir(), 'postcommit-soak-'))
try {
  await using stage = await openStage(folder, { relays: 2, leaseMs: LEASE_MS })
  process.exitCode = (await soak(stage)) ? 0 : 1
} finally {
  if (process.exitCode === 0) await rm(folder, { recursive: true, force: true })
  else console.log(`the logs are in ${join(folder, 'shop')}`)
}

async function soak(stage: Stage): Promise<boolean> {
  const load = startLoad({ url: stage.url, batch: 'soak', random: seededRandom(seed + 1) })
  const until = performance.now() + seconds * 1000
  // Two at a time: one program and one server.
  await Promise.all([
    haunt(programFaults(stage, LEASE_MS, between), until, () => requireAllRunning(stage)),
    haunt(serverFaults(stage, between), until),
  ])
  await load.stop()
  const isQuiet = await untilQuiet(stage.books, QUIET_TIMEOUT_MS)
  const ledger = await readLedger(stage.books, load.confirmed)
  const wrong = [...discrepancies(ledger), ...(isQuiet ? [] : ['not everything is delivered'])]
  const { orders, stock, mail } = ledger
  const both = (count: (account: Account) => number) => `${count(stock)} by HTTP, ${mail && count(mail)} by NATS`
  console.log(`\nfaults           ${[...counts].map(([name, count]) => `${name} ${count}`).join(', ')}`)
  console.log(
    `customers        ${load.confirmed.length} orders placed, ${load.refused.length} refused, ${load.repeats} requests repeated`,
  )
  console.log(`orders           ${orders}`)
  console.log(`effects          ${both(({ effects }) => effects)}`)
  console.log(`raw duplicates   ${both(({ rawDuplicates }) => rawDuplicates)}`)
  const { retried, redelivered, republished } = sortRepetitions(readArrivals(stage.books.mail?.arrivals ?? ''))
  console.log(`  by NATS        tried again ${retried}, delivered again ${redelivered}, published again ${republished}`)
  console.log(`lost             ${both(({ lost }) => lost.length)}, forgotten ${ledger.forgotten.length}`)
  console.log(`phantom          ${both(({ phantom }) => phantom.length)}`)
  console.log(`more than once   ${both(({ repeated }) => repeated.length)}`)
  console.log(`out of order     ${both(({ outOfOrder }) => outOfOrder.length)}`)
  console.log(wrong.length === 0 ? 'sound' : `NOT SOUND: ${wrong.join(', ')}`)
  return wrong.length === 0
}

/** Has one fault happen after the other, with pauses in which things get going again. */
async function haunt(faults: readonly Fault[], until: number, check: () => void = () => undefined): Promise<void> {
  while (performance.now() < until) {
    await sleep(between(100, 1500))
    check()
    const fault = faults[Math.floor(random() * faults.length)]
    if (fault === undefined) continue
    console.log(`${((performance.now() - startedAt) / 1000).toFixed(1).padStart(6)} s  ${fault.name}`)
    counts.set(fault.name, (counts.get(fault.name) ?? 0) + 1)
    await fault.happen()
  }
}

/** Nobody may end for want of a server. */
function requireAllRunning({ orders, stock, mail, relays }: Stage): void {
  for (const { name, isRunning, lines } of [orders, stock, mail, ...relays]) {
    if (!isRunning()) throw new Error(`${name} has ended by itself:\n${lines.slice(-30).join('\n')}`)
  }
}
