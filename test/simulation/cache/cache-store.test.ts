import fc from 'fast-check'
import { type CacheStore, memoryStore } from 'postcommit/cache'
import { expect, test } from 'vitest'
import { FAULTY_STORES } from './faulty-stores.ts'
import { StoreHistory } from './store-history.ts'
import { storeSteps } from './store-steps.ts'

const histories = (open: (now: () => number) => CacheStore) =>
  fc.asyncProperty(storeSteps, async (steps) => {
    let nowMs = 1000
    const advance = (ms: number) => {
      nowMs += ms
    }
    const clock = { now: () => nowMs, advance }
    await new StoreHistory(open(clock.now), 'product:1', clock).play(steps)
  })

test('whatever loads, fills, fails and invalidates, a store keeps its promises', async () => {
  await fc.assert(
    histories((now) => memoryStore({ now })),
    { numRuns: 3000 },
  )
})

test.each(FAULTY_STORES)('a store is found out that breaks: $promise', async ({ open }) => {
  const { failed, counterexample } = await fc.check(histories(open), { numRuns: 30_000 })
  expect(failed).toBe(true)
  // Short enough to be understood.
  expect(counterexample?.[0].length).toBeLessThan(12)
})
