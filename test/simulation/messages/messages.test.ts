import fc from 'fast-check'
import { expect, test } from 'vitest'
import { History } from './history.ts'
import { scenarios } from './scenario.ts'

test('no storm breaks a promise about messages, M1 to M6; and all that is promised about does happen', async () => {
  const seen = new Map<string, number>()
  const see = (what: string) => seen.set(what, (seen.get(what) ?? 0) + 1)
  await fc.assert(
    fc.asyncProperty(scenarios, async (scenario) => {
      const history = new History(scenario)
      expect(await history.run()).toBeUndefined()
      for (const { state } of history.tables.deliveries) see(state)
      for (const { status } of history.tables.announced) see(status)
      if (history.tables.waits > 0) see('waited')
    }),
    { numRuns: 300 },
  )
  for (const what of ['confirmed', 'dead', 'held', 'succeed', 'failed', 'waited']) {
    expect(seen.get(what) ?? 0, what).toBeGreaterThan(2)
  }
}, 120_000)
