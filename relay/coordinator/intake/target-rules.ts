import type { ActionTarget, BranchDefinition, Target, TransactionDefinition } from 'postcommit/protocol'
import type { AddressRules } from '../../destinations/address-rules.ts'
import { takesSubject } from '../../engine/subject-filter.ts'
import { storeTarget } from '../stored/stored-target.ts'

/** What the configuration of a relay says about where it sends what is handed in. */
export interface TargetRulesOptions {
  /** Undefined: no address is called. */
  readonly addresses: Pick<AddressRules, 'problemOf'> | undefined
  /** Filters of the subjects on which services may be asked what became of their messages. */
  readonly checkSubjects: readonly string[]
}

/** A target that a relay sends nothing to, and why. */
export interface TargetProblem {
  readonly target: string
  readonly reason: string
}

/**
 * Which targets are taken in. What is refused later would be a transaction that stands still; whoever hands it in can
 * mend it. Names of destinations are not looked at: another relay of the same database may have them.
 */
export class TargetRules {
  readonly #options: TargetRulesOptions

  constructor(options: TargetRulesOptions) {
    this.#options = options
  }

  /** What is wrong with the targets of a definition; undefined: nothing. */
  problemOf({ branches, backQuery }: TransactionDefinition): TargetProblem | undefined {
    if (backQuery !== undefined) {
      const problem = this.#backQueryProblem(backQuery.target)
      if (problem !== undefined) return problem
    }
    for (const branch of branches) {
      const problem = this.problemOfBranch(branch)
      if (problem !== undefined) return problem
    }
    return undefined
  }

  /** What is wrong with the targets of a branch. */
  problemOfBranch({ ops }: BranchDefinition): TargetProblem | undefined {
    for (const target of Object.values(ops)) {
      const problem = this.problemOfTarget(target)
      if (problem !== undefined) return problem
    }
    return undefined
  }

  /** What is wrong with a target of a branch. */
  problemOfTarget(target: ActionTarget): TargetProblem | undefined {
    if (!('url' in target)) return undefined
    const { addresses } = this.#options
    const url = new URL(target.url)
    const reason = addresses === undefined ? 'it calls configured destinations only' : addresses.problemOf(url)
    // Without the query, which may hold what is nobody else's business.
    return reason === undefined ? undefined : { target: url.origin, reason }
  }

  /** Whether services may be asked on a subject. */
  asksOn(subject: string): boolean {
    return this.#options.checkSubjects.some((filter) => takesSubject(filter, subject))
  }

  #backQueryProblem(target: Target): TargetProblem | undefined {
    if (!('subject' in target)) return this.problemOfTarget(target)
    if (this.asksOn(target.subject)) return undefined
    return { target: storeTarget(target), reason: 'it asks on no such subject' }
  }
}
