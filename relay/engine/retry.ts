import type { BackOff } from './outcome.ts'

/** Beyond it a row would be due at a time that PostgreSQL cannot hold, and the batch it is in could not be written. */
const PAUSE_MAX_MS = 366 * 24 * 60 * 60 * 1000

/**
 * The pause before the next attempt: exponential, capped, with full jitter, so that messages that failed together do
 * not come back together.
 *
 * @param attempts - how many have failed so far, at least 1
 * @param random - a number in [0, 1)
 * @see https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
 */
export function backOffMs({ baseMs, capMs }: BackOff, attempts: number, random: number): number {
  const ceilingMs = Math.min(capMs, PAUSE_MAX_MS, baseMs * 2 ** Math.min(attempts - 1, 52))
  return Math.round(ceilingMs * random)
}
