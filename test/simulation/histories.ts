import fc from 'fast-check'
import { History } from './transactions/history.ts'
import { type Scenario, scenarios } from './transactions/scenario.ts'

const CHUNK = 2000

const total = Number(process.argv[2] ?? 100_000)
const seed = Number(process.argv[3] ?? Date.now() % 1_000_000_000)
const startedAt = performance.now()
const ends = new Map<string, number>()

console.log(`${total.toLocaleString('en')} histories, seed ${seed}`)
for (let done = 0; done < total; done += CHUNK) {
  await fc.assert(fc.asyncProperty(scenarios, holds), { numRuns: Math.min(CHUNK, total - done), seed: seed + done })
  const reached = Math.min(total, done + CHUNK)
  if (reached % (5 * CHUNK) === 0) console.log(`${reached.toLocaleString('en')} after ${seconds()} s`)
}
for (const [end, count] of [...ends].sort()) console.log(`  ${end.padEnd(22)} ${count.toLocaleString('en')}`)
console.log(`${total.toLocaleString('en')} histories, 0 violations of I1 to I8, in ${seconds()} s`)

/** fast-check makes the history that breaks a promise as short as it can, and prints it with its seed. */
async function holds(scenario: Scenario): Promise<void> {
  const history = new History(scenario)
  const violation = await history.run()
  if (violation !== undefined) throw new Error(`${violation.invariant}: ${violation.what}`)
  const end = `${scenario.kind} ${history.store.status}`
  ends.set(end, (ends.get(end) ?? 0) + 1)
}

function seconds(): number {
  return Math.round((performance.now() - startedAt) / 1000)
}
