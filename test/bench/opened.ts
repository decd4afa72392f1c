/** What has been opened; it is closed in the opposite order. `AsyncDisposableStack` is not there before Node.js 24. */
export class Opened implements AsyncDisposable {
  readonly #all: AsyncDisposable[] = []

  /** Closes it with the others. */
  use<T extends AsyncDisposable>(one: T): T {
    this.#all.push(one)
    return one
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const one of this.#all.splice(0).reverse()) await one[Symbol.asyncDispose]()
  }
}
