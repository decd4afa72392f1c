import { setTimeout as sleep } from 'node:timers/promises'

/** What {@link eventually} accepts. */
export interface EventuallyOptions {
  /** Default 5000. */
  readonly timeoutMs?: number
  /** Default 20. */
  readonly everyMs?: number
}

/**
 * Runs `assertion` again and again until it does not throw, and returns its value. When the time is up, what it threw
 * last is thrown.
 *
 * Only for what must become true; what must stay true needs a look after a wait of its own.
 */
export async function eventually<T>(
  assertion: () => T | Promise<T>,
  { timeoutMs = 5000, everyMs = 20 }: EventuallyOptions = {},
): Promise<T> {
  const end = performance.now() + timeoutMs
  for (;;) {
    try {
      return await assertion()
    } catch (error) {
      if (performance.now() > end) throw error
    }
    await sleep(everyMs)
  }
}
