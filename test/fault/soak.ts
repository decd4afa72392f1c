/**
 * `npm run test:fault`: customers order while services, relays, PostgreSQL and the three nodes of NATS are killed,
 * stopped, restarted and cut off at random from outside; then everything is counted.
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
import { type ClusterStage, openClusterStage } from './stage.ts'
import { longest, longestDuring, type Span, watchStandstills } from './standstill.ts'

const { values } = parseArgs({ options: { seconds: { type: 'string' }, seed: { type: 'string' } } })
const seconds = Number(values.seconds ?? 60)
const seed = Number(values.seed ?? Math.floor(Math.random() * 1e9))
const LEASE_MS = 2000
const QUIET_TIMEOUT_MS = 120_000

const random = seededRandom(seed)
const between = (least: number, most: number) => least + random() * (most - least)
const startedAt = performance.now()
/** When each fault happened. */
const happened = new Map<string, Span[]>()

console.log(`seed ${seed}, ${seconds} s (again: npm run test:fault -- --seed ${seed} --seconds ${seconds})`)
const folder = await mkdtemp(join(tmpdir(), 'postcommit-soak-'))
try {
  await using stage = await openClusterStage(folder, { relays: 2, leaseMs: LEASE_MS })
  process.exitCode = (await soak(stage)) ? 0 : 1
} finally {
  if (process.exitCode === 0) await rm(folder, { recursive: true, force: true })
  else console.log(`the logs are in ${join(folder, 'shop')}`)
}

async function soak(stage: ClusterStage): Promise<boolean> {
  console.log(`nats-server ${stage.nats.nodes.map(({ version }) => version).join(', ')}`)
  const load = startLoad({ url: stage.url, batch: 'soak', random: seededRandom(seed + 1) })
  const standing = watchStandstills(stage.books.orders)
  const until = performance.now() + seconds * 1000
  // Two at a time: one program and one server.
  await Promise.all([
    haunt(programFaults(stage, LEASE_MS, between), until, () => requireAllRunning(stage)),
    haunt(serverFaults(stage, between), until),
  ])
  await load.stop()
  const settledFrom = performance.now()
  const isQuiet = await untilQuiet(stage.books, QUIET_TIMEOUT_MS)
  const settledMs = performance.now() - settledFrom
  const standstills = await standing.stop()
  const ledger = await readLedger(stage.books, load.confirmed)
  const wrong = [...discrepancies(ledger), ...(isQuiet ? [] : ['not everything is delivered'])]
  const { orders, stock, mail } = ledger
  const both = (count: (account: Account) => number) => `${count(stock)} by HTTP, ${mail && count(mail)} by NATS`
  printFaults(standstills)
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
  console.log(
    `standstill       longest ${inSeconds(longest(standstills))} s, settled ${inSeconds(settledMs)} s after the last order`,
  )
  console.log(wrong.length === 0 ? 'sound' : `NOT SOUND: ${wrong.join(', ')}`)
  return wrong.length === 0
}

/** Beside each fault: the longest time in which messages waited for NATS and none was confirmed while it happened. */
function printFaults(standstills: readonly Span[]): void {
  console.log(`\n${'fault'.padEnd(26)} times  longest standstill meanwhile`)
  for (const [name, spans] of [...happened].sort(([a], [b]) => a.localeCompare(b))) {
    const still = inSeconds(longestDuring(standstills, spans))
    console.log(`${name.padEnd(26)} ${String(spans.length).padStart(5)}  ${still.padStart(5)} s`)
  }
}

function inSeconds(ms: number): string {
  return (ms / 1000).toFixed(1)
}

/** Has one fault happen after the other, with pauses in which things get going again. */
async function haunt(faults: readonly Fault[], until: number, check: () => void = () => undefined): Promise<void> {
  while (performance.now() < until) {
    await sleep(between(100, 1500))
    check()
    const fault = faults[Math.floor(random() * faults.length)]
    if (fault === undefined) continue
    const from = performance.now()
    console.log(`${inSeconds(from - startedAt).padStart(6)} s  ${fault.name}`)
    await fault.happen()
    happened.set(fault.name, [...(happened.get(fault.name) ?? []), { from, to: performance.now() }])
  }
}

/** Nobody may end for want of a server. */
function requireAllRunning({ orders, stock, mail, relays }: ClusterStage): void {
  for (const { name, isRunning, lines } of [orders, stock, mail, ...relays]) {
    if (!isRunning()) throw new Error(`${name} has ended by itself:\n${lines.slice(-30).join('\n')}`)
  }
}
