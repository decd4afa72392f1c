import { type BranchDefinition, dependenciesOf, type TransactionDefinition } from './transaction-definition.ts'
import { BranchOp, TransactionMode } from './transaction-state.ts'

/** What can be wrong with a definition whose values are all right by themselves. */
export type DefinitionProblemCode =
  | 'NO_BRANCHES'
  | 'DUPLICATE_BRANCH'
  | 'UNKNOWN_BRANCH'
  | 'LATER_BRANCH'
  | 'MISSING_OP'
  | 'UNEXPECTED_OP'
  | 'UNEXPECTED_FIELD'
  | 'UNSUITABLE_TOPIC'
  | 'NOT_UNDOABLE'

/** One thing that is wrong with a definition. */
export interface DefinitionProblem {
  readonly code: DefinitionProblemCode
  /** Where: `branches[2].after`. */
  readonly path: string
  readonly reason: string
}

interface Ops {
  readonly required: readonly BranchOp[]
  readonly optional: readonly BranchOp[]
}

const OPS: Readonly<Record<TransactionMode, Ops>> = {
  [TransactionMode.Msg]: { required: [BranchOp.Action], optional: [] },
  [TransactionMode.Saga]: { required: [BranchOp.Action], optional: [BranchOp.Compensate] },
  [TransactionMode.Tcc]: { required: [BranchOp.Confirm, BranchOp.Cancel], optional: [BranchOp.Try] },
  [TransactionMode.Xa]: { required: [BranchOp.Commit, BranchOp.Rollback], optional: [BranchOp.Action] },
  [TransactionMode.Workflow]: { required: [], optional: Object.values(BranchOp) },
}

/** A saga may be without branches while it is prepared: they are registered as it goes. */
export const NO_BRANCHES: DefinitionProblem = { code: 'NO_BRANCHES', path: 'branches', reason: 'there is no branch' }

/** Everything that is wrong with a definition by the rules of its mode, in the order of its branches. */
export function definitionProblems(definition: TransactionDefinition): readonly DefinitionProblem[] {
  const { mode, branches, backQuery } = definition
  const problems: DefinitionProblem[] = []
  if (mode === TransactionMode.Msg && branches.length === 0) problems.push(NO_BRANCHES)
  if (backQuery !== undefined && mode !== TransactionMode.Msg && mode !== TransactionMode.Workflow) {
    problems.push({ code: 'UNEXPECTED_FIELD', path: 'backQuery', reason: `a ${mode} is not asked about` })
  }
  for (const [index, branch] of branches.entries()) problems.push(...branchProblems(mode, branch, `branches[${index}]`))
  const inOrder = orderProblems(branches)
  problems.push(...inOrder)
  // Who may come after whom can only be told once the order itself is sound.
  if (mode === TransactionMode.Saga && inOrder.length === 0) problems.push(...undoProblems(definition))
  return problems
}

/** What is wrong with one branch by the rules of its mode. */
export function branchProblems(mode: TransactionMode, branch: BranchDefinition, path: string): DefinitionProblem[] {
  const { required, optional } = OPS[mode]
  const missing = required
    .filter((op) => branch.ops[op] === undefined)
    .map((op) => ({ code: 'MISSING_OP' as const, path: `${path}.ops`, reason: `a branch of a ${mode} needs ${op}` }))
  const unexpected = Object.values(BranchOp)
    .filter((op) => branch.ops[op] !== undefined && !required.includes(op) && !optional.includes(op))
    .map((op) => ({
      code: 'UNEXPECTED_OP' as const,
      path: `${path}.ops.${op}`,
      reason: `a branch of a ${mode} has no ${op}`,
    }))
  const saga = mode === TransactionMode.Saga
  const misplaced = (['retryOnly', 'leavesNothing'] as const)
    .filter((field) => branch[field] !== undefined && !saga)
    .map((field) => ({
      code: 'UNEXPECTED_FIELD' as const,
      path: `${path}.${field}`,
      reason: 'only a saga undoes',
    }))
  return [...missing, ...unexpected, ...misplaced, ...topicProblems(mode, branch, `${path}.ops.action`)]
}

/**
 * A topic stands for several: when one of them refuses, others have taken effect, and nobody knows how to undo that.
 * So in a saga none of them may refuse, or there must be nothing to undo.
 */
function topicProblems(mode: TransactionMode, { ops, retryOnly, leavesNothing }: BranchDefinition, path: string) {
  if (ops.action === undefined || !('topic' in ops.action)) return []
  const problem = (reason: string): DefinitionProblem[] => [{ code: 'UNSUITABLE_TOPIC', path, reason }]
  if (mode === TransactionMode.Msg) return []
  if (mode !== TransactionMode.Saga) return problem(`a branch of a ${mode} goes to no topic`)
  if (ops.compensate !== undefined) return problem('what goes to a topic cannot be compensated')
  if (retryOnly === true || leavesNothing === true) return []
  return problem('what goes to a topic in a saga is retryOnly, or leavesNothing')
}

function orderProblems(branches: readonly BranchDefinition[]): DefinitionProblem[] {
  const places = new Map<string, number>()
  const problems: DefinitionProblem[] = []
  for (const [index, { branch }] of branches.entries()) {
    if (places.has(branch)) {
      const reason = `${branch} is there already`
      problems.push({ code: 'DUPLICATE_BRANCH', path: `branches[${index}].branch`, reason })
    } else places.set(branch, index)
  }
  for (const [index, { after = [] }] of branches.entries()) {
    const path = `branches[${index}].after`
    for (const name of after) {
      const place = places.get(name)
      if (place === undefined) problems.push({ code: 'UNKNOWN_BRANCH', path, reason: `there is no branch ${name}` })
      // Only earlier ones: so there can be no cycle, and a reader meets every branch before what depends on it.
      else if (place >= index) {
        problems.push({ code: 'LATER_BRANCH', path, reason: `${name} is not declared before it` })
      }
    }
  }
  return problems
}

/**
 * A saga that fails must be able to undo whatever may have taken effect. So wherever a branch cannot be undone, all
 * others have either succeeded before it starts or are repeated until they succeed.
 */
function undoProblems(definition: TransactionDefinition): DefinitionProblem[] {
  const { branches } = definition
  const before = ancestorsOf(definition)
  const problems: DefinitionProblem[] = []
  for (const [index, final] of branches.entries()) {
    if (final.ops.compensate !== undefined || final.leavesNothing === true) continue
    for (const [other, { branch, retryOnly }] of branches.entries()) {
      if (other === index || retryOnly === true || before.get(final.branch)?.has(branch) === true) continue
      problems.push({
        code: 'NOT_UNDOABLE',
        path: `branches[${other}]`,
        reason: `${branch} may fail when ${final.branch}, which has no compensation, has taken effect; put it before, or make it retry-only`,
      })
    }
  }
  return problems
}

function ancestorsOf(definition: TransactionDefinition): ReadonlyMap<string, ReadonlySet<string>> {
  const ancestors = new Map<string, ReadonlySet<string>>()
  for (const [branch, direct] of dependenciesOf(definition)) {
    ancestors.set(branch, new Set(direct.flatMap((name) => [name, ...(ancestors.get(name) ?? [])])))
  }
  return ancestors
}
