import type { BackOff } from './outcome.ts'

/**
 * The pause before the next attempt: exponential, capped, with full jitter, so that messages that failed together do
 * not come back together.
 *
 * @param attempts - how many have failed so far, at least 1
 * @param random - a number in [0, 1)
 * @see https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
 */
export function backOffMs({ baseMs, capMs }: BackOff, attempts: number, random: number): number {
  const ceiling = Math.min(capMs, baseMs * 2 ** Math.min(attempts - 1, 52))
  return Math.round(ceiling * random)
}
