import { expect, test } from 'vitest'
import { growthOf } from './steady/figures.ts'
import { runSteady } from './steady/run.ts'

test('nothing grows with the work done', { timeout: 240_000 }, async () => {
  const { looks, commits, handled, called } = await runSteady({ seconds: 60, commitsPerSecond: 50 })
  expect(growthOf(looks).filter(({ isSteady }) => !isSteady)).toEqual([])
  expect(commits).toBeGreaterThan(500)
  // What was committed last may still be under way.
  expect(handled).toBeGreaterThan(commits * 0.9)
  expect(called).toBeGreaterThan(commits * 0.9)
})
