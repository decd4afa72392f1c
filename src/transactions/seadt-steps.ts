import { LIMITS } from '../protocol/limits.ts'
import {
  at,
  readJson,
  readList,
  readObject,
  readOptional,
  readText,
  Unreadable,
  withoutAbsent,
} from '../protocol/read-json.ts'
import type { Problem } from './checked-definition.ts'

/** Where every saga begins. */
export const START = 'Start'
/** Where every saga ends. */
const END = 'End'

/** A sub-transaction as it was written down. */
export interface SeadtStep {
  readonly id: string
  readonly commit: string
  readonly callback?: string
  readonly pre: readonly string[]
  readonly next: readonly string[]
}

/** A definition as it was written down, and what is wrong with its values. */
export interface SeadtSource {
  readonly name: string | undefined
  readonly steps: readonly SeadtStep[]
  readonly problems: readonly Problem[]
}

/** Reads the shape; steps that cannot be read are among the problems and not among the steps. */
export function readSource(source: unknown): SeadtSource {
  const problems: Problem[] = []
  const attempt = <T>(read: () => T): T | undefined => {
    try {
      return read()
    } catch (error) {
      if (!(error instanceof Unreadable)) throw error
      problems.push({ code: 'INVALID_VALUE', path: error.path, reason: error.reason })
      return undefined
    }
  }
  const fields = attempt(() => {
    const value = typeof source === 'string' ? readJson(source) : source
    return readObject(value, '', ['seadt_name', 'tx_seq'])
  })
  if (fields === undefined) return { name: undefined, steps: [], problems }
  const name = attempt(() => readText(fields['seadt_name'], 'seadt_name', LIMITS.branchCharacters))
  const sequence = attempt(() =>
    readList(fields['tx_seq'], 'tx_seq', [1, LIMITS.branchesPerTransaction], (value) => value),
  )
  const steps = (sequence ?? []).flatMap((value, index) => attempt(() => readStep(value, `tx_seq[${index}]`)) ?? [])
  return { name, steps, problems }
}

function readStep(value: unknown, path: string): SeadtStep {
  const known = ['sub_tx_id', 'commit_method', 'callback_method', 'pre_step', 'next_step']
  const fields = readObject(value, path, known)
  const method = (text: unknown, where: string) => readText(text, where, LIMITS.pathCharacters)
  return withoutAbsent<SeadtStep>({
    id: readText(fields['sub_tx_id'], at(path, 'sub_tx_id'), LIMITS.branchCharacters),
    commit: method(fields['commit_method'], at(path, 'commit_method')),
    callback: readOptional(fields['callback_method'], at(path, 'callback_method'), method),
    pre: readNames(fields['pre_step'], at(path, 'pre_step')),
    next: readNames(fields['next_step'], at(path, 'next_step')),
  })
}

function readNames(value: unknown, path: string): readonly string[] {
  const name = (text: unknown, where: string) => readText(text, where, LIMITS.branchCharacters)
  return Array.isArray(value) ? readList(value, path, [1, LIMITS.branchesPerTransaction], name) : [name(value, path)]
}

/** Everything that is wrong with how the steps go together. */
export function stepProblems(steps: readonly SeadtStep[]): readonly Problem[] {
  const byId = new Map(steps.map((step) => [step.id, step]))
  return [
    ...nameProblems(steps),
    ...endProblems(steps),
    ...steps.flatMap((step, index) => connectionProblems(step, `tx_seq[${index}]`, byId)),
    ...cycleProblems(steps),
  ]
}

function nameProblems(steps: readonly SeadtStep[]): Problem[] {
  const seen = new Set<string>()
  const problems: Problem[] = []
  for (const [index, { id }] of steps.entries()) {
    const path = `tx_seq[${index}].sub_tx_id`
    if (id === START || id === END) {
      problems.push({ code: 'RESERVED_NAME', path, reason: `${id} is where every saga begins or ends` })
    } else if (seen.has(id)) problems.push({ code: 'DUPLICATE_STEP', path, reason: `${id} is there already` })
    seen.add(id)
  }
  return problems
}

function endProblems(steps: readonly SeadtStep[]): Problem[] {
  const problems: Problem[] = []
  if (!steps.some(({ pre }) => pre.includes(START))) {
    problems.push({ code: 'NO_START', path: 'tx_seq', reason: `no step has pre_step ${START}` })
  }
  if (!steps.some(({ next }) => next.includes(END))) {
    problems.push({ code: 'NO_END', path: 'tx_seq', reason: `no step has next_step ${END}` })
  }
  return problems
}

function connectionProblems(step: SeadtStep, path: string, byId: ReadonlyMap<string, SeadtStep>): Problem[] {
  const problems: Problem[] = []
  const check = (names: readonly string[], field: 'pre_step' | 'next_step', edge: string): void => {
    for (const name of names) {
      if (name === edge) continue
      const other = byId.get(name)
      const back = field === 'pre_step' ? other?.next : other?.pre
      if (back === undefined) {
        problems.push({ code: 'UNKNOWN_STEP', path: `${path}.${field}`, reason: `there is no step ${name}` })
      } else if (!back.includes(step.id)) {
        const reason = `${name} does not say that ${step.id} comes ${field === 'pre_step' ? 'next' : 'before'}`
        problems.push({ code: 'PRE_NEXT_MISMATCH', path: `${path}.${field}`, reason })
      }
    }
  }
  check(step.pre, 'pre_step', START)
  check(step.next, 'next_step', END)
  return problems
}

function cycleProblems(steps: readonly SeadtStep[]): Problem[] {
  const ordered = new Set(inOrder(steps))
  return steps.flatMap((step, index) => {
    // What only hangs on an unknown step is reported there.
    if (ordered.has(step) || !reaches(steps, step.id)) return []
    return [{ code: 'CYCLE', path: `tx_seq[${index}]`, reason: `${step.id} comes before itself` }]
  })
}

/** Whether one comes back to a step by what is before it. */
function reaches(steps: readonly SeadtStep[], id: string): boolean {
  const before = new Map(steps.map((step) => [step.id, step.pre]))
  const seen = new Set<string>()
  const open = [...(before.get(id) ?? [])]
  for (let name = open.pop(); name !== undefined; name = open.pop()) {
    if (name === id) return true
    if (seen.has(name)) continue
    seen.add(name)
    open.push(...(before.get(name) ?? []))
  }
  return false
}

/** The steps, each after all that come before it, otherwise as they were written; those on a cycle are left out. */
export function inOrder(steps: readonly SeadtStep[]): readonly SeadtStep[] {
  const known = new Set(steps.map(({ id }) => id))
  const placed = new Set<string>()
  const ordered: SeadtStep[] = []
  let left = [...steps]
  for (;;) {
    const next = left.find(({ pre }) => pre.every((name) => !known.has(name) || placed.has(name)))
    if (next === undefined) return ordered
    ordered.push(next)
    placed.add(next.id)
    left = left.filter((step) => step !== next)
  }
}
