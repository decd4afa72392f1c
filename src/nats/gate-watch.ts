import type { ConsumerInfo } from './consumer-info.ts'
import { createGate } from './gate.ts'

/** What a watch needs, and whom it tells. */
export interface GateWatchOptions {
  /** Asks the server for the consumer; undefined if there is no answer. */
  readonly select: () => Promise<ConsumerInfo | undefined>
  /** How many unsettled messages up to a sequence are here. */
  readonly countThrough: (sequence: number) => number
  readonly onChange: (isOpen: boolean) => void
}

const LOOK_AGAIN_MS = 200

/** The gate of `gate.ts` with somebody who looks at the server's counts until it is open. */
export class GateWatch {
  readonly #options: GateWatchOptions
  readonly #gate = createGate()
  #timer: NodeJS.Timeout | undefined
  #deadlineMs = 0
  /** An answer from before the gate was closed must not open it. */
  #closings = 0

  constructor(options: GateWatchOptions) {
    this.#options = options
  }

  /** Closes it until {@link GateWatch.watch} finds that it may open. */
  close(): void {
    this.#closings += 1
    clearTimeout(this.#timer)
    this.#gate.close()
    this.#options.onChange(false)
  }

  /** Looks, and goes on looking; after `timeMs` it opens in any case. */
  watch(info: ConsumerInfo, timeMs: number): void {
    this.#deadlineMs = performance.now() + timeMs
    this.#look(info)
  }

  /** A message came that was not here before. */
  arrived(sequence: number): void {
    if (this.#gate.isOpen) return
    this.#gate.arrived(sequence)
    this.#options.onChange(this.#gate.isOpen)
  }

  stop(): void {
    this.#closings += 1
    clearTimeout(this.#timer)
  }

  #look({ progress }: ConsumerInfo): void {
    this.#gate.look(progress, this.#options.countThrough(progress.deliveredThrough))
    if (performance.now() >= this.#deadlineMs) this.#gate.open()
    if (!this.#gate.isOpen) this.#lookLater()
    this.#options.onChange(this.#gate.isOpen)
  }

  #lookLater(): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => void this.#lookAgain(), LOOK_AGAIN_MS)
  }

  async #lookAgain(): Promise<void> {
    const closings = this.#closings
    const info = await this.#options.select()
    if (this.#gate.isOpen || closings !== this.#closings) return
    if (info === undefined) this.#lookLater()
    else this.#look(info)
  }
}
