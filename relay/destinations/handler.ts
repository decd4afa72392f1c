import type { Delivery, Destination } from './destination.ts'

/** Thrown by a {@link Handler} to say that it will never take this message: it is dead at once. */
export class Refuse extends Error {
  override readonly name = 'Refuse'
}

/**
 * A function of this process that is called like a destination. Returning confirms; throwing means "again later";
 * throwing {@link Refuse} means never. It may be called more than once for a message, so it needs the inbox or must
 * be harmless to repeat.
 */
export type Handler = (delivery: Delivery, signal: AbortSignal) => Promise<unknown>

const CONCURRENCY = 32
const TIMEOUT_MS = 30_000

/** A function as a destination. Calls that take longer than 30 s are given up and made again. */
export function createHandlerDestination(name: string, handle: Handler): Destination {
  return {
    name,
    concurrency: CONCURRENCY,
    attemptsMax: Number.POSITIVE_INFINITY,
    backOff: { baseMs: 1000, capMs: 300_000 },
    async deliver(delivery, stopping) {
      const signal = AbortSignal.any([stopping, AbortSignal.timeout(TIMEOUT_MS)])
      const aborted = new Promise<never>((_, reject) => {
        signal.addEventListener('abort', () => reject(new Error(`no result within ${TIMEOUT_MS} ms`)), { once: true })
      })
      try {
        await Promise.race([handle(delivery, signal), aborted])
        return { kind: 'confirmed' }
      } catch (error) {
        const text = error instanceof Error ? error.message : String(error)
        return error instanceof Refuse ? { kind: 'refused', error: text } : { kind: 'failed', error: text }
      }
    },
    close: async () => undefined,
  }
}
