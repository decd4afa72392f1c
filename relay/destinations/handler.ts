import { DeliveryPostponed, DeliveryRefused, ENVELOPE } from 'postcommit/protocol'
import type { BackOff } from '../engine/outcome.ts'
import { addBranchHeaders } from './branch-call.ts'
import type { Delivery, Destination } from './destination.ts'

/**
 * A function of this process that is called like a destination. Returning confirms; throwing means "again later";
 * throwing {@link DeliveryRefused} means never, and turns a saga back; throwing {@link DeliveryPostponed} means "again
 * after that pause" and burns no attempt. It may be called more than once for a message, so it needs the inbox or must
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

  async function run(delivery: Delivery, limitMs: number, stopping: AbortSignal): Promise<void> {
    const abort = new AbortController()
    const giveUp = (): void => abort.abort()
    stopping.addEventListener('abort', giveUp)
    const timer = setTimeout(giveUp, limitMs)
    try {
      await new Promise((resolve, reject) => {
        // The signal is this call's own: what listens to it goes with it.
        abort.signal.addEventListener('abort', () => reject(new Error(`no result within ${limitMs} ms`)))
        Promise.resolve(handle(delivery, abort.signal)).then(resolve, reject)
      })
    } finally {
      clearTimeout(timer)
      stopping.removeEventListener('abort', giveUp)
    }
  }

  return {
    name,
    timeoutMs,
    concurrency,
    attemptsMax,
    backOff: options.backOff ?? { baseMs: 1000, capMs: 300_000 },
    async deliver(delivery, stopping) {
      try {
        await run(delivery, timeoutMs, stopping)
        return { kind: 'confirmed' }
      } catch (error) {
        const text = textOf(error)
        if (error instanceof DeliveryRefused) return { kind: 'refused', error: text }
        if (error instanceof DeliveryPostponed) {
          return { kind: 'unavailable', error: text, retryAfterMs: error.retryAfterMs }
        }
        return { kind: 'failed', error: text }
      }
    },
    async call({ gid, branch, number, op, target, key, content, headers, attempt, ...call }, stopping) {
      const named: Record<string, string> = { [ENVELOPE.gid]: gid }
      addBranchHeaders(named, { mode: call.mode, number, branch, op })
      const delivery: Delivery = {
        source: '',
        gid,
        branch: number,
        destination: name,
        target,
        key,
        content: content ?? '',
        headers: { ...headers, ...named },
        attempt,
      }
      try {
        await run(delivery, call.timeoutMs ?? timeoutMs, stopping)
        return answered(200)
      } catch (error) {
        // As over HTTP: a Failure is a decision, and anything else is not.
        if (error instanceof DeliveryRefused) return answered(409, textOf(error))
        if (error instanceof DeliveryPostponed) {
          return { ...answered(503, textOf(error)), retryAfterMs: error.retryAfterMs }
        }
        return { kind: 'unanswered', result: 'failed', error: textOf(error) }
      }
    },
    close: async () => undefined,
  }
}

function answered(status: number, text = '') {
  return { kind: 'answered' as const, status, body: Buffer.from(text) }
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
