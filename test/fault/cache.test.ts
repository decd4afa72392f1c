import { expect, test } from 'vitest'
import { builtPackages } from '../support/built-packages.ts'
import { runCaches } from './cache/run.ts'

test('C7: whoever is killed, no read is older than an invalidation that was done before it', {
  timeout: 180_000,
}, async () => {
  await builtPackages()
  const { reads, writes, old, readsFailed, equalAfterMs } = await runCaches({ seconds: 20, readers: 32 })
  expect(old).toEqual([])
  expect(readsFailed).toBe(0)
  expect(reads).toBeGreaterThan(100)
  expect(writes).toBeGreaterThan(10)
  // Within a second where nothing else runs; `npm run test:cache-soak` prints it.
  expect(equalAfterMs).toBeLessThan(10_000)
})
