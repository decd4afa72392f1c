/** Something to wait for that anybody can call: a NOTIFY arrived, a connection came up, the relay stops. */
export class WakeSignal {
  #called = false
  #resume: (() => void) | undefined

  /** Ends the current wait, or the next one if nobody is waiting. */
  call(): void {
    this.#called = true
    this.#resume?.()
  }

  /** Waits until it is called, at most `ms`. */
  async wait(ms: number): Promise<void> {
    if (!this.#called) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, ms)
        this.#resume = () => {
          clearTimeout(timer)
          resolve()
        }
      })
      this.#resume = undefined
    }
    this.#called = false
  }
}
