import fc from 'fast-check'
import { History } from '../transactions/history.ts'
import type { Violation } from '../transactions/invariants.ts'
import { type Scenario, scenarios } from '../transactions/scenario.ts'

/** What a hunt came to; the line that it prints. */
export interface Hunted {
  readonly histories: number
  readonly seed: number
  /** Where fast-check finds that history again. */
  readonly path?: string | undefined
  readonly violation?: { readonly invariant: string; readonly what: string } | undefined
}

/** Without `breaks` every promise counts. */
const [kind, runs = '1000', seed = '1', breaks] = process.argv.slice(2)

console.log(JSON.stringify(await hunt(Number(runs), Number(seed))))

/** Runs histories until one breaks a promise. */
async function hunt(numRuns: number, ofSeed: number): Promise<Hunted> {
  if (kind !== 'transactions') throw new Error(`there are no histories of ${kind}`)
  let found: Violation | undefined
  const property = fc.asyncProperty(scenarios, async (scenario: Scenario) => {
    found = await new History(scenario).run()
    return found === undefined || (breaks !== undefined && found.invariant !== breaks)
  })
  const {
    failed,
    numRuns: histories,
    counterexamplePath,
    errorInstance,
  } = await fc.check(property, {
    numRuns,
    seed: ofSeed,
    endOnFailure: true,
  })
  if (!failed) return { histories, seed: ofSeed }
  const thrown = errorInstance instanceof Error && found === undefined ? errorInstance.message : undefined
  const violation = found ?? { invariant: 'a loop threw', what: thrown ?? 'nothing is known' }
  return { histories, seed: ofSeed, path: counterexamplePath ?? undefined, violation }
}
