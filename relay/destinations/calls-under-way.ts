import type { HttpCall } from './http-call.ts'

/**
 * Cuts calls off when their signal is aborted. One listener a signal, not one a call: adding a listener looks through
 * all that are there, and there would be as many as calls under way.
 */
export class CallsUnderWay {
  readonly #calls = new WeakMap<AbortSignal, Set<HttpCall>>()

  /** The calls that end with this signal. */
  until(stopping: AbortSignal): Set<HttpCall> {
    const known = this.#calls.get(stopping)
    if (known !== undefined) return known
    const calls = new Set<HttpCall>()
    this.#calls.set(stopping, calls)
    stopping.addEventListener('abort', () => {
      for (const call of calls) call.cut()
    })
    return calls
  }
}
