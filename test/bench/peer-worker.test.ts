import { expect, test } from 'vitest'
import { batches, chosen, handling, peerPayload } from './peer-worker.ts'

test('a backlog is done when the table says so, and not with the last call of the handler', async () => {
  const { handled, finished } = handling(3)
  handled(2)
  handled()
  const left = [2, 1, 0]
  const { perSecond } = await finished(() => Promise.resolve(left.shift() ?? Number.NaN))
  expect(left).toEqual([])
  expect(perSecond).toBeGreaterThan(0)
  // Two looks were in vain, 5 ms each.
  expect(perSecond).toBeLessThan(3 / 0.009)
})

test('messages that are handled twice are not counted', async () => {
  const { handled, finished } = handling(2)
  handled(3)
  await expect(finished(() => Promise.resolve(0))).rejects.toThrow('2 messages were handled 3 times')
})

test('payloads have 200 bytes at any number', () => {
  expect([0, 9, 10, 123_456].map((index) => JSON.stringify(peerPayload(index)).length)).toEqual([200, 200, 200, 200])
})

test('batches hold every number once', () => {
  expect(batches(5, 2)).toEqual([[0, 1], [2, 3], [4]])
  expect(batches(0, 2)).toEqual([])
})

test('a configuration that a peer does not have is refused', () => {
  expect(chosen({ default: 1 }, 'default')).toBe(1)
  expect(() => chosen({ default: 1 }, 'fastest')).toThrow('has no configuration fastest')
})
