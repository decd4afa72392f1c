import fc from 'fast-check'
import { expect, test } from 'vitest'
import { isolate } from './redis-batch.ts'

test('what can be applied is applied once and in its order, and exactly the others are found', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.boolean(), { maxLength: 200 }), async (isBroken) => {
      const items = isBroken.map((broken, n) => ({ broken, n }))
      const done: number[] = []
      let tries = 0
      const { applied, failed } = await isolate(
        items,
        async (part) => {
          tries += 1
          if (part.some(({ broken }) => broken)) throw new Error('broken')
          done.push(...part.map(({ n }) => n))
        },
        () => true,
      )
      expect(done).toEqual(items.filter(({ broken }) => !broken).map(({ n }) => n))
      expect(applied.map(({ n }) => n)).toEqual(done)
      expect(failed.map(({ item }) => item.n)).toEqual(items.filter(({ broken }) => broken).map(({ n }) => n))
      // A broken one costs a path of halves, not a pass over all of them.
      const depth = Math.ceil(Math.log2(Math.max(2, items.length))) + 1
      expect(tries).toBeLessThanOrEqual(1 + 2 * failed.length * depth)
    }),
  )
})
