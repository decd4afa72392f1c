import fc from 'fast-check'
import { History as MessageHistory } from '../messages/history.ts'
import { scenarios as messages } from '../messages/scenario.ts'
import { History as TransactionHistory } from '../transactions/history.ts'
import { scenarios as transactions } from '../transactions/scenario.ts'

/** A promise that was broken. */
interface Broken {
  readonly invariant: string
  readonly what: string
}

/** What a hunt came to; the line that it prints. */
export interface Hunted {
  readonly histories: number
  /** Where fast-check finds that history again. */
  readonly path?: string | undefined
  readonly violation?: Broken | undefined
}

/** Without `breaks` every promise counts. */
const [kind, runs = '1000', seed = '1', breaks] = process.argv.slice(2)

const hunted =
  kind === 'messages'
    ? await hunt(messages, (scenario) => new MessageHistory(scenario).run())
    : await hunt(transactions, (scenario) => new TransactionHistory(scenario).run())
console.log(JSON.stringify(hunted))

/** Runs histories until one breaks a promise. */
async function hunt<Scenario>(
  scenarios: fc.Arbitrary<Scenario>,
  run: (scenario: Scenario) => Promise<Broken | undefined>,
): Promise<Hunted> {
  let found: Broken | undefined
  const property = fc.asyncProperty(scenarios, async (scenario) => {
    found = await run(scenario)
    return found === undefined || (breaks !== undefined && found.invariant !== breaks)
  })
  const numRuns = Number(runs)
  const ended = await fc.check(property, { numRuns, seed: Number(seed), endOnFailure: true })
  const { failed, numRuns: histories, counterexamplePath, errorInstance } = ended
  if (!failed) return { histories }
  if (found === undefined) throw errorInstance
  return { histories, path: counterexamplePath ?? undefined, violation: found }
}
