import type { IncomingHttpHeaders } from 'node:http'
import type { Dispatcher } from 'undici'
import { ANSWER_BYTES_MAX } from './destination-call.ts'

/** How a call ended: with an answer whose status is known at least, without one, or because it was cut off. */
export type CallEnd =
  | {
      readonly kind: 'answered'
      readonly status: number
      readonly headers: IncomingHttpHeaders
      /** False: the connection broke before the end of the body. */
      readonly isWhole: boolean
      /** If it is kept, and is not too long to be. */
      readonly body?: Buffer | undefined
    }
  | { readonly kind: 'failed'; readonly error: unknown }
  | { readonly kind: 'cut'; readonly hadStatus: boolean }

/**
 * One call of undici, from the request to the end of the answer's body. At most 64 KiB of that are read, and kept only
 * for who asks for them; once the status is there it counts, unless the call is cut off.
 *
 * It takes undici's events as they come: `Pool.request` would make a Readable, two promises and several listeners of
 * them for every call.
 */
export class HttpCall implements Dispatcher.DispatchHandler {
  readonly #onEnd: (end: CallEnd) => void
  readonly #keepsBody: boolean
  readonly #chunks: Uint8Array[] = []
  #controller: Dispatcher.DispatchController | undefined
  #answer: Pick<Extract<CallEnd, { kind: 'answered' }>, 'status' | 'headers'> | undefined
  #bytes = 0
  #hasEnded = false

  constructor(onEnd: (end: CallEnd) => void, keepsBody = false) {
    this.#onEnd = onEnd
    this.#keepsBody = keepsBody
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
    if (status >= 200) this.#answer = { status, headers }
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Uint8Array): void {
    this.#bytes += chunk.byteLength
    if (this.#bytes > ANSWER_BYTES_MAX) controller.abort(new Error('the answer has no end'))
    else if (this.#keepsBody) this.#chunks.push(chunk)
  }

  onResponseEnd(): void {
    this.#answered(true, undefined)
  }

  onResponseError(_: unknown, error: unknown): void {
    this.#answered(this.#bytes > ANSWER_BYTES_MAX, error)
  }

  #answered(isWhole: boolean, error: unknown): void {
    const isKept = this.#keepsBody && isWhole && this.#bytes <= ANSWER_BYTES_MAX
    const body = isKept && { body: Buffer.concat(this.#chunks) }
    if (this.#answer === undefined) this.#end({ kind: 'failed', error })
    else this.#end({ kind: 'answered', ...this.#answer, isWhole, ...body })
  }

  #end(end: CallEnd): void {
    if (this.#hasEnded) return
    this.#hasEnded = true
    this.#onEnd(end)
  }
}
