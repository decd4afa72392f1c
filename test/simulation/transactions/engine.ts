import { decide } from '../../../relay/engine/transaction/decide.ts'
import { plan } from '../../../relay/engine/transaction/plan.ts'
import { recordOutcome } from '../../../relay/engine/transaction/record-outcome.ts'
import { recordVerdict } from '../../../relay/engine/transaction/record-verdict.ts'

/** The decisions that are under test; a planted fault replaces one of them. */
export interface Engine {
  readonly decide: typeof decide
  readonly plan: typeof plan
  readonly recordOutcome: typeof recordOutcome
  readonly recordVerdict: typeof recordVerdict
}

export const ENGINE: Engine = { decide, plan, recordOutcome, recordVerdict }
