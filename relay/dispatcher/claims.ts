/** Which claims this relay holds, so that what it cannot carry out is given back instead of running out. */
export class Claims {
  readonly #unrecorded = new Map<string, number>()
  readonly #uncertain = new Set<string>()
  readonly #finished = new Set<string>()

  /** The statement is about to be sent. Until {@link opened} says what it got, it is uncertain whether it got anything. */
  opening(token: string): void {
    this.#uncertain.add(token)
  }

  opened(token: string, deliveries: number): void {
    this.#uncertain.delete(token)
    if (deliveries > 0) this.#unrecorded.set(token, deliveries)
  }

  /** One delivery of the claim has been recorded. */
  recorded(token: string): void {
    const left = (this.#unrecorded.get(token) ?? 0) - 1
    if (left > 0) this.#unrecorded.set(token, left)
    else {
      this.#unrecorded.delete(token)
      this.#finished.add(token)
    }
  }

  /** Claims under which nothing is held any more, and which the database still lists. */
  finished(): readonly string[] {
    return [...this.#finished]
  }

  /** The database has forgotten them. */
  forgotten(tokens: readonly string[]): void {
    for (const token of tokens) this.#finished.delete(token)
  }

  /** Claims whose statement failed: it may have been carried out all the same. */
  uncertain(): readonly string[] {
    return [...this.#uncertain]
  }

  /** They have been given back. */
  givenBack(tokens: readonly string[]): void {
    for (const token of tokens) this.#uncertain.delete(token)
  }

  /** Everything that may still be held. */
  all(): readonly string[] {
    return [...this.#unrecorded.keys(), ...this.#uncertain]
  }
}
