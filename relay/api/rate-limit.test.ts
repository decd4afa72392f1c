import { expect, test } from 'vitest'
import { RateLimit, RateLimited } from './rate-limit.ts'

const retryAfterMs = (limit: RateLimit, tenant: string, nowMs: number): number | undefined => {
  try {
    limit.enter(tenant, nowMs)
    return undefined
  } catch (error) {
    if (error instanceof RateLimited) return error.retryAfterMs
    throw error
  }
}

test('lets in what a second has, at once, and then as much as time goes by', () => {
  const limit = new RateLimit(10)
  const letIn = Array.from({ length: 30 }, () => retryAfterMs(limit, 'a', 5000)).filter((ms) => ms === undefined)
  expect(letIn).toHaveLength(11)
  expect(retryAfterMs(limit, 'a', 5000)).toBe(100)
  expect(retryAfterMs(limit, 'a', 5100)).toBeUndefined()
  expect(retryAfterMs(limit, 'a', 5100)).toBe(100)
})

test('what one tenant asks for is not charged to another', () => {
  const limit = new RateLimit(1)
  for (let nowMs = 0; nowMs < 5; nowMs += 1) retryAfterMs(limit, 'a', 5000)
  expect(retryAfterMs(limit, 'a', 5000)).toBe(1000)
  expect(retryAfterMs(limit, 'b', 5000)).toBeUndefined()
})

test('a large batch is let in and paid for afterwards', () => {
  const limit = new RateLimit(100)
  limit.enter('a', 5000)
  limit.charge('a', 499, 5000)
  expect(retryAfterMs(limit, 'a', 5000)).toBe(4000)
  expect(retryAfterMs(limit, 'a', 9000)).toBeUndefined()
})
