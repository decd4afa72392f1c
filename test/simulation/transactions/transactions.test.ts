import fc from 'fast-check'
import { definitionProblems, type Gid, type TransactionDefinition } from 'postcommit/protocol'
import { expect, test } from 'vitest'
import { handIn } from '../../../relay/coordinator/intake/definition-rows.ts'
import { History } from './history.ts'
import { type Scenario, scenarios } from './scenario.ts'

test('no storm breaks an invariant: I1 to I8, with the order of D7 and the pairs of D6', async () => {
  await fc.assert(
    fc.asyncProperty(scenarios, async (scenario) => {
      expect(await new History(scenario).run()).toBeUndefined()
    }),
    { numRuns: 300 },
  )
}, 120_000)

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

test('the same history runs the same way again, so that a seed is enough to find it', async () => {
  for (const scenario of fc.sample(scenarios, { numRuns: 40, seed: 1 })) {
    const [one, again] = [new History(scenario), new History(scenario)]
    expect(await one.run()).toEqual(await again.run())
    expect([one.store.nowMs, one.store.rows, one.branches.effects]).toEqual([
      again.store.nowMs,
      again.store.rows,
      again.branches.effects,
    ])
  }
}, 60_000)

test('histories of every kind end both ways, so that what is checked at the end is checked', async () => {
  const ends = new Map<string, number>()
  await fc.assert(
    fc.asyncProperty(scenarios, async (scenario) => {
      const history = new History(scenario)
      await history.run()
      const { status } = history.store
      const undone = [...history.branches.effects.values()].filter((effects) => effects.undone > 0).length
      for (const end of [`${scenario.kind} ${status}`, ...(undone > 1 ? [`${scenario.kind} undid two`] : [])]) {
        ends.set(end, (ends.get(end) ?? 0) + 1)
      }
    }),
    { numRuns: 500, seed: 1 },
  )
  for (const kind of ['msg', 'saga', 'live-saga', 'tcc', 'xa']) {
    expect(ends.get(`${kind} succeed`) ?? 0).toBeGreaterThan(3)
    expect(ends.get(`${kind} failed`) ?? 0).toBeGreaterThan(3)
    if (kind !== 'msg') expect(ends.get(`${kind} undid two`) ?? 0).toBeGreaterThan(1)
  }
}, 120_000)

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
