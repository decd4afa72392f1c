import type { IncomingHttpHeaders } from 'node:http'
import type { Dispatcher } from 'undici'

/** How a call ended: with an answer whose status is known at least, without one, or because it was cut off. */
export type CallEnd =
  | { readonly kind: 'answered'; readonly status: number; readonly headers: IncomingHttpHeaders }
  | { readonly kind: 'failed'; readonly error: unknown }
  | { readonly kind: 'cut'; readonly hadStatus: boolean }

const RESPONSE_BYTES_MAX = 64 * 1024

/**
 * One call of undici, from the request to the end of the answer's body. At most 64 KiB of that are read and none of it
 * is kept; once the status is there it counts, unless the call is cut off.
 *
 * It takes undici's events as they come: `Pool.request` would make a Readable, two promises and several listeners of
 * them for every call.
 */
export class HttpCall implements Dispatcher.DispatchHandler {
  readonly #onEnd: (end: CallEnd) => void
  #controller: Dispatcher.DispatchController | undefined
  #answer: Extract<CallEnd, { kind: 'answered' }> | undefined
  #bytes = 0
  #hasEnded = false

  constructor(onEnd: (end: CallEnd) => void) {
    this.#onEnd = onEnd
  }

  /** Ends it at once. */
  cut(): void {
    this.#end({ kind: 'cut', hadStatus: this.#answer !== undefined })
    this.#controller?.abort(new Error('cut off'))
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller
    // It was cut off while it waited for a connection, and must not be made any more.
    if (this.#hasEnded) controller.abort(new Error('cut off'))
  }

  onResponseStart(_: Dispatcher.DispatchController, status: number, headers: IncomingHttpHeaders): void {
    // What comes before is only an announcement.
    if (status >= 200) this.#answer = { kind: 'answered', status, headers }
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Uint8Array): void {
    this.#bytes += chunk.byteLength
    if (this.#bytes > RESPONSE_BYTES_MAX) controller.abort(new Error('the answer has no end'))
  }

  onResponseEnd(): void {
    this.#end(this.#answer ?? { kind: 'failed', error: undefined })
  }

  onResponseError(_: unknown, error: unknown): void {
    this.#end(this.#answer ?? { kind: 'failed', error })
  }

  #end(end: CallEnd): void {
    if (this.#hasEnded) return
    this.#hasEnded = true
    this.#onEnd(end)
  }
}
