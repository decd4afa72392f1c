import { expect, test } from 'vitest'
import { alternate } from './alternate.ts'

test('contenders take turns, and each begins a round once', async () => {
  const turns: string[] = []
  let ticks = 0
  const contender = (name: string) => () => {
    turns.push(name)
    ticks += 1
    return Promise.resolve(ticks)
  }
  const samples = await alternate({ a: contender('a'), b: contender('b'), c: contender('c') }, 3)
  expect(turns.join('')).toBe('abcbcacab')
  expect(samples).toEqual({ a: [1, 6, 8], b: [2, 4, 9], c: [3, 5, 7] })
}, 30_000)

test('what a contender throws ends the measuring', async () => {
  await expect(alternate({ a: () => Promise.reject(new Error('no luck')) }, 1)).rejects.toThrow('no luck')
})
