import { EventEmitter, once } from 'node:events'
import fc from 'fast-check'
import { type CacheStore, createCache, memoryStore } from 'postcommit/cache'
import { expect, test } from 'vitest'
import { type Act, playActs } from './concurrent-reads.ts'
import { FAULTY_STORES } from './faulty-stores.ts'

const process = fc.nat({ max: 1 })
const acts = fc.array(
  fc.oneof(
    { weight: 3, arbitrary: process.map((process): Act => ({ do: 'read', process })) },
    { weight: 1, arbitrary: process.map((process): Act => ({ do: 'write', process })) },
  ),
  { minLength: 2, maxLength: 10 },
)
const interleavings = (open: () => CacheStore) =>
  fc.asyncProperty(fc.scheduler(), acts, fc.boolean(), (scheduler, played, isWarm) =>
    playActs(scheduler, open(), played, isWarm),
  )

test('no read returns what was invalidated before it began, and an update costs a load', {
  timeout: 120_000,
}, async () => {
  await fc.assert(interleavings(memoryStore), { numRuns: 1000 })
})

test('what was loaded is not for those who came after it was stored: it may have been invalidated since', async () => {
  const memory = memoryStore()
  const fate = new EventEmitter()
  const stored = once(fate, 'stored')
  let fills = 0
  const store: CacheStore = {
    ...memory,
    fill: async (...asked) => {
      const isStored = await memory.fill(...asked)
      fills += 1
      if (fills === 1) {
        const answered = once(fate, 'answered')
        fate.emit('stored')
        await answered
      }
      return isStored
    },
  }
  let version = 1
  const cache = createCache({ store })
  const values = cache.define('product', { ttl: '1h', load: (_: number) => ({ version }) })
  const first = values.get(1)
  await stored
  version = 2
  await values.invalidate(1)
  const second = values.get(1)
  fate.emit('answered')
  expect(await Promise.all([first, second])).toEqual([{ version: 1 }, { version: 2 }])
  await cache.close()
})

const found = FAULTY_STORES.filter(({ promise }) =>
  [
    'a fill needs the newest lease',
    'an invalidation ends the lease',
    'a dropped fill is said to be dropped',
    'an invalidation is done when it says so',
  ].includes(promise),
)

test.each(found)(
  'readers are shown something old by a store that breaks: $promise',
  { timeout: 300_000 },
  async ({ open }) => {
    // The rarest of them shows in one of some 500 runs; among 2,000 it was missed one time in thirty.
    const result = await fc.check(
      interleavings(() => open(() => performance.now())),
      { numRuns: 20_000, endOnFailure: true },
    )
    expect(result.failed).toBe(true)
  },
)
