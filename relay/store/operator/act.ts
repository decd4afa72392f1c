/** Who did something to a message or a transaction, and why. */
export interface Act {
  readonly actor: string
  readonly reason: string
}
