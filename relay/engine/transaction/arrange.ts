import type { Recovery } from './op.ts'

/** A step of a saga or a branch of a message, in the order of its definition. */
export interface Step {
  readonly branch: string
  /** Steps it waits for. Absent: the one before it, or none if the steps are concurrent. */
  readonly after?: readonly string[]
  readonly recovery?: Recovery
  /** Whether there is anything to call to undo it. */
  readonly hasCompensation?: boolean
}

/** What is wrong with a definition. */
export interface StepProblem {
  readonly branch: string
  readonly problem:
    | 'duplicate'
    | 'unknown-step'
    | 'cycle'
    | 'second-pivot'
    | 'pivot-with-compensation'
    | 'may-fail-after-the-point-of-no-return'
    | 'forward-beside-what-may-fail'
}

/**
 * The dependencies of steps: one after the other, all at once, or as each names them; whoever names some has those
 * alone. Sequential and concurrent are no modes of the planner, only different lists.
 */
export function arrange(
  steps: readonly Step[],
  { concurrent }: { readonly concurrent: boolean },
): (readonly string[])[] {
  return steps.map(({ after }, index) => {
    const before = steps[index - 1]
    return after ?? (concurrent || before === undefined ? [] : [before.branch])
  })
}

/**
 * Finds what is wrong with a definition, before anything runs: a saga that can neither go on nor back is found by
 * whoever wrote it, or by its customers.
 *
 * What may fail has to come before the pivot, and what cannot be undone has to come after everything that may fail:
 * then there is always one way, back before the pivot, and forward after it. Dependencies may name later steps (DTM's
 * `orders` do), so cycles are looked for.
 */
export function checkSteps(steps: readonly Step[], options: { readonly concurrent: boolean }): StepProblem[] {
  const names = new Set(steps.map(({ branch }) => branch))
  const after = new Map(arrange(steps, options).map((list, index) => [steps[index]?.branch ?? '', list]))
  const shape: StepProblem[] = steps.flatMap(({ branch }, index): StepProblem[] => {
    if (steps.findIndex((step) => step.branch === branch) !== index) return [{ branch, problem: 'duplicate' }]
    if (after.get(branch)?.some((name) => !names.has(name))) return [{ branch, problem: 'unknown-step' }]
    return []
  })
  if (shape.length > 0) return shape
  const ancestors = new Map(steps.map(({ branch }) => [branch, ancestorsOf(branch, after)]))
  const cyclic = steps.filter(({ branch }) => ancestors.get(branch)?.has(branch))
  if (cyclic.length > 0) return cyclic.map(({ branch }) => ({ branch, problem: 'cycle' }))
  return steps.flatMap((step) => checkRecovery(step, steps, ancestors))
}

function checkRecovery(
  step: Step,
  steps: readonly Step[],
  ancestors: ReadonlyMap<string, ReadonlySet<string>>,
): StepProblem[] {
  const { branch, recovery = 'undo' } = step
  const comesAfter = (other: Step) => ancestors.get(branch)?.has(other.branch) === true
  const others = steps.filter((other) => other !== step)
  const mayFail = others.filter((other) => other.recovery !== 'forward')
  switch (recovery) {
    case 'undo':
      return others.some((other) => other.recovery === 'forward' && comesAfter(other))
        ? [{ branch, problem: 'may-fail-after-the-point-of-no-return' }]
        : []
    case 'pivot':
      if (step.hasCompensation === true) return [{ branch, problem: 'pivot-with-compensation' }]
      if (mayFail.some((other) => other.recovery === 'pivot')) return [{ branch, problem: 'second-pivot' }]
      return mayFail
        .filter((other) => !comesAfter(other))
        .map((other) => ({ branch: other.branch, problem: 'may-fail-after-the-point-of-no-return' }))
    case 'forward':
      return mayFail.every(comesAfter) ? [] : [{ branch, problem: 'forward-beside-what-may-fail' }]
  }
}

function ancestorsOf(branch: string, after: ReadonlyMap<string, readonly string[]>): ReadonlySet<string> {
  const found = new Set<string>()
  const open = [...(after.get(branch) ?? [])]
  for (let name = open.pop(); name !== undefined; name = open.pop()) {
    if (found.has(name)) continue
    found.add(name)
    open.push(...(after.get(name) ?? []))
  }
  return found
}
