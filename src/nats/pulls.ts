/**
 * The messages that have been asked for and have not come yet.
 *
 * JetStream sends a message to the oldest request or to the next, and does not say which one it counts against, so
 * requests are only counted together; the server's end of each (408 with the number it did not fill) corrects the sum.
 */
export interface Pulls {
  /** How many messages are asked for and not here. */
  readonly outstanding: number
  /** Whether the server owes an answer at all: messages, a heartbeat, or the end of a request. */
  readonly open: boolean
  /** Notes a request; gives the token of its reply subject. */
  request(batch: number): string
  delivered(): void
  /** The server ended a request; `unfilled` is what it did not send of it, if it said so. */
  ended(token: string, unfilled: number | undefined): void
  /** Forgets every request: the server they were sent to is gone. What still comes of them is welcome. */
  reset(): void
}

/** No request yet. */
export function createPulls(): Pulls {
  const requests = new Map<string, number>()
  let outstanding = 0
  let counter = 0
  return {
    get outstanding() {
      return outstanding
    },
    get open() {
      return requests.size > 0
    },
    request(batch) {
      counter += 1
      const token = String(counter)
      requests.set(token, batch)
      outstanding += batch
      return token
    },
    delivered() {
      if (outstanding > 0) outstanding -= 1
      if (outstanding === 0) requests.clear()
    },
    ended(token, unfilled) {
      const batch = requests.get(token)
      if (batch === undefined) return
      requests.delete(token)
      outstanding = requests.size === 0 ? 0 : Math.max(0, outstanding - (unfilled ?? batch))
    },
    reset() {
      requests.clear()
      outstanding = 0
    },
  }
}
