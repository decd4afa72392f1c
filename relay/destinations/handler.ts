import type { BackOff } from '../engine/outcome.ts'
import type { Delivery, Destination } from './destination.ts'

/** Thrown by a {@link Handler} to say that it will never take this message: it is dead at once. */
export class Refuse extends Error {
  override readonly name = 'Refuse'
}

/**
 * A function of this process that is called like a destination. Returning confirms; throwing means "again later";
 * throwing {@link Refuse} means never. It may be called more than once for a message, so it needs the inbox or must
 * be harmless to repeat. `signal` is aborted when nobody waits for the result any more.
 */
export type Handler = (delivery: Delivery, signal: AbortSignal) => Promise<unknown>

/** How a {@link Handler} is called. */
export interface HandlerOptions {
  /** Calls under way at once, default 32. */
  readonly concurrency?: number
  /** How long a call may take before it counts as failed, milliseconds, default 25000: under half a claim's lease. */
  readonly timeoutMs?: number
  /** After how many failed attempts a message is dead; default: never. */
  readonly attemptsMax?: number
  readonly backOff?: BackOff
}

/** A function as a destination. */
export function createHandlerDestination(name: string, handle: Handler, options: HandlerOptions = {}): Destination {
  const { concurrency = 32, timeoutMs = 25_000, attemptsMax = Number.POSITIVE_INFINITY } = options
  return {
    name,
    concurrency,
    attemptsMax,
    backOff: options.backOff ?? { baseMs: 1000, capMs: 300_000 },
    async deliver(delivery, stopping) {
      const abort = new AbortController()
      const late = new Promise<never>((_, reject) => {
        abort.signal.addEventListener('abort', () => reject(new Error(`no result within ${timeoutMs} ms`)))
      })
      const giveUp = (): void => abort.abort()
      const timer = setTimeout(giveUp, timeoutMs)
      stopping.addEventListener('abort', giveUp)
      try {
        await Promise.race([handle(delivery, abort.signal), late])
        return { kind: 'confirmed' }
      } catch (error) {
        const text = error instanceof Error ? error.message : String(error)
        return error instanceof Refuse ? { kind: 'refused', error: text } : { kind: 'failed', error: text }
      } finally {
        clearTimeout(timer)
        stopping.removeEventListener('abort', giveUp)
      }
    },
    close: async () => undefined,
  }
}
