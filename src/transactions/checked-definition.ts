import { type DefinitionProblem, definitionProblems, NO_BRANCHES } from '../protocol/definition-problems.ts'
import { PostcommitError } from '../protocol/errors.ts'
import { readBranch, readDefinition } from '../protocol/read-definition.ts'
import { Unreadable } from '../protocol/read-json.ts'
import type { TransactionDefinition } from '../protocol/transaction-definition.ts'

/** One thing that is wrong with what was written down; the codes are stable. */
export interface Problem {
  readonly code: string
  /** Where: `branches[2].after`, `tx_seq[0].pre_step`. */
  readonly path: string
  readonly reason: string
}

/**
 * The definition as the relay will read it.
 * @throws `POSTCOMMIT_INVALID_TRANSACTION` listing every problem.
 */
export function checkedDefinition(definition: TransactionDefinition): TransactionDefinition {
  const problems = problemsOf(definition)
  if (problems.length > 0) throw invalidTransaction(definition.mode, problems)
  return readDefinition(definition, '')
}

/** Everything that is wrong with a definition: values first, and then, if they are sound, how they go together. */
function problemsOf(definition: TransactionDefinition): readonly Problem[] {
  const values = definition.branches.flatMap((branch, index) =>
    valueProblems(() => void readBranch(branch, `branches[${index}]`)),
  )
  if (values.length > 0) return values
  const together: readonly DefinitionProblem[] = [
    ...(definition.branches.length === 0 ? [NO_BRANCHES] : []),
    ...definitionProblems(definition),
  ]
  // What is left are the options.
  return together.length > 0 ? together : valueProblems(() => void readDefinition(definition, ''))
}

function valueProblems(read: () => void): Problem[] {
  try {
    read()
    return []
  } catch (error) {
    if (!(error instanceof Unreadable)) throw error
    return [{ code: 'INVALID_VALUE', path: error.path, reason: error.reason }]
  }
}

/** One error for all of them, one problem a line. */
export function invalidTransaction(mode: string, problems: readonly Problem[]): PostcommitError {
  const lines = problems.map(({ code, path, reason }) => `  ${code} ${path}: ${reason}`)
  return new PostcommitError('POSTCOMMIT_INVALID_TRANSACTION', { mode, problems: lines.join('\n') })
}
