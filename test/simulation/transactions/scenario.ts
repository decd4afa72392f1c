import fc from 'fast-check'
import type { Recovery } from '../../../relay/engine/transaction/op.ts'

/** A step as the simulated branches and initiators know it. */
export interface SimulatedStep {
  readonly branch: string
  readonly after: readonly string[]
  readonly recovery: Recovery
  /** The branch it is started inside of. */
  readonly parent: string | undefined
}

/** What is to be run, and the storm it has to get through. */
export interface Scenario {
  readonly kind: 'msg' | 'saga' | 'live-saga' | 'tcc' | 'xa'
  readonly steps: readonly SimulatedStep[]
  readonly retryLimit: number | undefined
  readonly deadlineMs: number | undefined
  /** One by one instead of in parallel. */
  readonly strictOrder: boolean
  /** What the initiator wants in the end: commit, or roll back. */
  readonly commits: boolean
  /** A step that says Failure once the storm is over. */
  readonly failing: number | undefined
  /** Requests left over from the storm arrive when everything has ended, instead of right after it. */
  readonly lateArrivals: boolean
  /** One event of the storm each: what happens, to whom, and how it is answered. */
  readonly storm: readonly number[]
  /** Of chance: latencies, jitter. */
  readonly seed: number
}

interface Draft {
  readonly kind: Scenario['kind']
  readonly links: readonly number[]
  readonly pivot: number
  readonly retryLimit: number | undefined
  readonly deadlineMs: number | undefined
  readonly flags: number
  readonly failing: number
  readonly storm: readonly number[]
  readonly seed: number
}

const draft: fc.Arbitrary<Draft> = fc.record({
  kind: fc.constantFrom('msg', 'msg', 'saga', 'live-saga', 'tcc', 'xa', 'saga', 'live-saga'),
  links: fc.array(fc.nat({ max: 255 }), { minLength: 1, maxLength: 4, size: 'max' }),
  pivot: fc.nat({ max: 7 }),
  retryLimit: fc.option(fc.nat({ max: 2 }), { nil: undefined }),
  deadlineMs: fc.option(fc.integer({ min: 500, max: 8000 }), { nil: undefined }),
  flags: fc.nat({ max: 7 }),
  failing: fc.nat({ max: 7 }),
  storm: fc.array(fc.nat({ max: 0xffff }), { maxLength: 60, size: 'max' }),
  seed: fc.nat(),
})

/** Every mode, up to four branches in any order that a definition allows, and up to sixty events of a storm. */
export const scenarios: fc.Arbitrary<Scenario> = draft.map((drawn) => ({
  kind: drawn.kind,
  steps: stepsOf(drawn),
  retryLimit: drawn.retryLimit,
  deadlineMs: drawn.deadlineMs,
  strictOrder: (drawn.flags & 1) === 1,
  commits: (drawn.flags & 2) === 0,
  failing: drawn.failing < drawn.links.length ? drawn.failing : undefined,
  lateArrivals: (drawn.flags & 4) === 0,
  storm: drawn.storm,
  seed: drawn.seed,
}))

function stepsOf({ kind, links, pivot }: Draft): SimulatedStep[] {
  const pivotAt = kind === 'saga' && pivot < links.length ? pivot : undefined
  const steps: SimulatedStep[] = []
  for (const [index, bits] of links.entries()) steps.push(stepOf(steps, bits, index, pivotAt, kind))
  return steps
}

function stepOf(
  before: readonly SimulatedStep[],
  bits: number,
  index: number,
  pivotAt: number | undefined,
  kind: Scenario['kind'],
): SimulatedStep {
  const parent = (kind === 'live-saga' || kind === 'tcc') && (bits & 0x30) === 0x30 ? before.at(-1)?.branch : undefined
  const branch = parent === undefined ? `b${index}` : `${parent}.b${index}`
  if (parent !== undefined) return { branch, after: [], recovery: 'undo', parent }
  const linked = before.filter((_, position) => (bits >> position) & 1).map((step) => step.branch)
  if (pivotAt === undefined || index < pivotAt) return { branch, after: linked, recovery: 'undo', parent }
  const all = before.filter((_, position) => position < pivotAt).map((step) => step.branch)
  if (index === pivotAt) return { branch, after: all, recovery: 'pivot', parent }
  return { branch, after: [...new Set([`b${pivotAt}`, ...linked])], recovery: 'forward', parent }
}
