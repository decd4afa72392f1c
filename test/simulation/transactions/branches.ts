import type { BranchOp } from 'postcommit/protocol'
import type { CallOutcome } from '../../../relay/engine/transaction/record-outcome.ts'
import type { SimulatedStep } from './scenario.ts'

/** How a service feels about a request that it could carry out. */
export type Mood = 'good' | 'failure' | 'error' | 'ongoing'

/** What a branch has done for good. */
export interface Effects {
  forward: number
  undone: number
  confirmed: number
}

const FORWARD: Partial<Record<BranchOp, true>> = { action: true, try: true }
const DONE: CallOutcome = { kind: 'done' }

/**
 * The branches behind the branches: business effects and barrier rows, both written by one local transaction. The
 * barrier is DTM's: the undo of what never happened closes the door on it, and whoever finds a row has been before.
 */
export class Branches {
  readonly effects: ReadonlyMap<string, Effects>
  /** Barrier rows, with the op that wrote them. */
  readonly rows = new Map<string, BranchOp | 'failure'>()
  /** Contents that any branch has been called with. */
  readonly payloads = new Set<string>()
  readonly #steps: ReadonlyMap<string, SimulatedStep>
  readonly #onEffect: (branch: string, op: BranchOp) => void

  constructor(steps: readonly SimulatedStep[], onEffect: (branch: string, op: BranchOp) => void) {
    this.#steps = new Map(steps.map((step) => [step.branch, step]))
    this.effects = new Map(steps.map(({ branch }) => [branch, { forward: 0, undone: 0, confirmed: 0 }]))
    this.#onEffect = onEffect
  }

  handle(branch: string, op: BranchOp, payload: string, mood: Mood): CallOutcome {
    const effects = this.effects.get(branch)
    if (effects === undefined) throw new Error(`a branch that nobody defined was called: ${branch}`)
    this.payloads.add(payload)
    const own = `${branch} ${FORWARD[op] === true ? 'forward' : op}`
    const found = this.rows.get(own)
    if (found !== undefined) return found === 'failure' ? { kind: 'failure', error: 'refused before' } : DONE
    if (mood !== 'good') return this.#unwell(branch, own, mood)
    this.rows.set(own, op)
    if (FORWARD[op] === true) {
      effects.forward += 1
    } else if (op === 'confirm' || op === 'commit') {
      effects.confirmed += 1
    } else {
      const origin = this.rows.get(`${branch} forward`)
      // Nothing to undo; and the row keeps what comes later from happening.
      if (origin === undefined) this.rows.set(`${branch} forward`, op)
      if (origin === undefined || FORWARD[origin === 'failure' ? 'cancel' : origin] !== true) return DONE
      effects.undone += 1
    }
    this.#onEffect(branch, op)
    return DONE
  }

  #unwell(branch: string, own: string, mood: Exclude<Mood, 'good'>): CallOutcome {
    if (mood === 'ongoing') return { kind: 'ongoing' }
    if (mood === 'error') return { kind: 'retry', error: 'answered 500' }
    // A pivot has no compensation that closes the door on calls still under way, so its Failure has to be final itself.
    if (this.#steps.get(branch)?.recovery === 'pivot') this.rows.set(own, 'failure')
    return { kind: 'failure', error: 'answered 409' }
  }
}
