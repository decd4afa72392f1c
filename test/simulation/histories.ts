import fc from 'fast-check'
import { History as MessageHistory } from './messages/history.ts'
import { scenarios as messages } from './messages/scenario.ts'
import { History as TransactionHistory } from './transactions/history.ts'
import { scenarios as transactions } from './transactions/scenario.ts'

const CHUNK = 2000

/** A promise that was broken. */
interface Broken {
  readonly invariant: string
  readonly what: string
}

const total = Number(process.argv[2] ?? 50_000)
const seed = Number(process.argv[3] ?? Date.now() % 1_000_000_000)
const startedAt = performance.now()
const ends = new Map<string, number>()

console.log(`${total.toLocaleString('en')} histories of each kind, seed ${seed}`)
await runAll('global transactions, I1 to I8', transactions, async (scenario) => {
  const history = new TransactionHistory(scenario)
  const violation = await history.run()
  count(`${scenario.kind} ${history.store.status}`)
  return violation
})
await runAll('messages, M1 to M6', messages, async (scenario) => {
  const history = new MessageHistory(scenario)
  const violation = await history.run()
  for (const { state } of history.tables.deliveries) count(`message ${state}`)
  return violation
})
for (const [end, times] of [...ends].sort()) console.log(`  ${end.padEnd(22)} ${times.toLocaleString('en')}`)

/** fast-check makes the history that breaks a promise as short as it can, and prints it with its seed. */
async function runAll<Scenario>(
  what: string,
  scenarios: fc.Arbitrary<Scenario>,
  run: (scenario: Scenario) => Promise<Broken | undefined>,
): Promise<void> {
  const holds = async (scenario: Scenario): Promise<void> => {
    const violation = await run(scenario)
    if (violation !== undefined) throw new Error(`${violation.invariant}: ${violation.what}`)
  }
  for (let done = 0; done < total; done += CHUNK) {
    const numRuns = Math.min(CHUNK, total - done)
    await fc.assert(fc.asyncProperty(scenarios, holds), { numRuns, seed: seed + done })
    const reached = Math.min(total, done + CHUNK)
    if (reached % (5 * CHUNK) === 0) console.log(`  ${reached.toLocaleString('en')} after ${seconds()} s`)
  }
  console.log(`${total.toLocaleString('en')} histories of ${what}: none was broken; ${seconds()} s`)
}

function count(end: string): void {
  ends.set(end, (ends.get(end) ?? 0) + 1)
}

function seconds(): number {
  return Math.round((performance.now() - startedAt) / 1000)
}
