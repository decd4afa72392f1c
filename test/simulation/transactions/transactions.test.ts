import fc from 'fast-check'
import { definitionProblems, type Gid, type TransactionDefinition } from 'postcommit/protocol'
import { describe, expect, test } from 'vitest'
import { handIn } from '../../../relay/coordinator/hand-in.ts'
import { ENGINE } from './engine.ts'
import { History } from './history.ts'
import { PLANTED, type PlantedFault } from './planted.ts'
import { type Scenario, scenarios } from './scenario.ts'

const INVARIANTS = ['I1', 'I2', 'I3', 'I4', 'I5', 'I6', 'I7', 'I8'] as const

test('no storm breaks an invariant: I1 to I8, with the order of D7 and the pairs of D6', () => {
  fc.assert(
    fc.property(scenarios, (scenario) => {
      expect(new History(scenario, ENGINE).run()).toBeUndefined()
    }),
    { numRuns: 4000 },
  )
}, 60_000)

test('the definitions that are run are those that are accepted', () => {
  fc.assert(
    fc.property(scenarios, (scenario) => {
      if (scenario.kind !== 'saga') return
      const definition = definitionOf(scenario)
      expect(definitionProblems(definition)).toEqual([])
      const { operations } = handIn({ tenant: '', gid: 'g' as Gid }, definition, 'submitted', DEFAULTS)
      const actions = operations.filter(({ op }) => op === 'action')
      expect(actions.map(({ recovery = 'undo' }) => recovery)).toEqual(scenario.steps.map(({ recovery }) => recovery))
    }),
  )
})

test('histories of every kind end both ways, so that what is checked at the end is checked', () => {
  const ends = new Map<string, number>()
  fc.assert(
    fc.property(scenarios, (scenario) => {
      const history = new History(scenario, ENGINE)
      history.run()
      const { status } = history.store
      const undone = [...history.branches.effects.values()].filter((effects) => effects.undone > 0).length
      for (const end of [`${scenario.kind} ${status}`, ...(undone > 1 ? [`${scenario.kind} undid two`] : [])]) {
        ends.set(end, (ends.get(end) ?? 0) + 1)
      }
    }),
    { numRuns: 2000, seed: 1 },
  )
  for (const kind of ['msg', 'saga', 'live-saga', 'tcc', 'xa', 'workflow']) {
    expect(ends.get(`${kind} succeed`) ?? 0).toBeGreaterThan(20)
    expect(ends.get(`${kind} failed`) ?? 0).toBeGreaterThan(20)
    if (kind !== 'msg') expect(ends.get(`${kind} undid two`) ?? 0).toBeGreaterThan(5)
  }
})

// Some need thousands of histories; on a machine that is busy those take their time.
describe('a planted fault is found', { timeout: 60_000 }, () => {
  test.each(PLANTED)('$breaks: $what', (fault) => {
    expect(isFound(fault)).toBe(true)
  })

  test('for every invariant', () => {
    expect([...new Set(PLANTED.map(({ breaks }) => breaks))].sort()).toEqual([...INVARIANTS])
  })
})

const DEFAULTS = { checkAfterMs: 1000, deadlineMs: 1000 }
const TARGET = { destination: 'shop', path: '/' }

function definitionOf({ steps }: Scenario): TransactionDefinition {
  const branches = steps.map(({ branch, after, recovery }) => ({
    branch,
    after,
    retryOnly: recovery === 'forward',
    ops: recovery === 'undo' ? { action: TARGET, compensate: TARGET } : { action: TARGET },
  }))
  return { mode: 'saga', branches }
}

/** Whether any history of a fixed series breaks that promise, before any other in its own run. */
function isFound({ engine, breaks, store }: PlantedFault): boolean {
  const property = fc.property(scenarios, (scenario) => {
    const violation = new History(scenario, engine, store?.(engine)).run()
    return violation?.invariant !== breaks
  })
  return fc.check(property, { numRuns: 20_000, seed: 1, endOnFailure: true }).failed
}
