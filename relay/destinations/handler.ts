import { DeliveryPostponed, DeliveryRefused, ENVELOPE } from 'postcommit/protocol'
import type { BackOff } from '../engine/outcome.ts'
import { type Delivery, type Destination, PERMANENT_ATTEMPTS_MAX } from './destination.ts'
import { addBranchHeaders, type DestinationCall } from './destination-call.ts'

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
    permanentAttemptsMax: PERMANENT_ATTEMPTS_MAX,
    backOff: options.backOff ?? { baseMs: 1000, capMs: 300_000 },
    async call(call, stopping) {
      try {
        await run(deliveryOf(name, call), call.timeoutMs ?? timeoutMs, stopping)
        return { kind: 'done' }
      } catch (error) {
        if (error instanceof DeliveryRefused) return { kind: 'refused', error: textOf(error) }
        if (error instanceof DeliveryPostponed) {
          return { kind: 'postponed', error: textOf(error), retryAfterMs: error.retryAfterMs }
        }
        return { kind: 'unanswered', result: 'failed', error: textOf(error) }
      }
    },
    close: async () => undefined,
  }
}

/** A call as the function sees it, whose headers name the branch as they do over HTTP. */
function deliveryOf(destination: string, call: DestinationCall): Delivery {
  const { source, gid, number: branch, target, key, content = '', attempt } = call
  const headers: Record<string, string> = { ...call.headers, [ENVELOPE.gid]: gid }
  addBranchHeaders(headers, call)
  return { source, gid, branch, destination, target, key, content, headers, attempt }
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
