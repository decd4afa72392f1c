import { appendFileSync, existsSync, openSync, readFileSync } from 'node:fs'

/** A message that reached a service, whether or not anything came of it. */
export interface Arrival {
  readonly messageId: string
  readonly orderId: string
  /** How often its subscription had begun it by then; only from a stream. */
  readonly attempt?: number
  /** Its place in the stream. */
  readonly sequence?: number
}

/** Why messages of a stream arrived more than once. */
export interface Repetitions {
  /** The service tried again what it had failed at. */
  readonly retried: number
  /** The broker brought it again. */
  readonly redelivered: number
  /** It stands in the stream more than once: a relay published it again, and the broker did not know it. */
  readonly republished: number
}

/**
 * The list of everything that reaches a service, in the order in which it does, for the ledger. It stands outside of
 * the transactions and of the database on purpose: it must know of the attempts that took no effect.
 */
export function openArrivals(path: string): { note(arrival: Arrival): void } {
  const file = openSync(path, 'a')
  return {
    note: ({ messageId, orderId, attempt, sequence }) =>
      appendFileSync(file, `${JSON.stringify({ messageId, orderId, attempt, sequence })}\n`),
  }
}

/** Reads the list. A line is one short write, which a kill cannot cut in two. */
export function readArrivals(path: string): readonly Arrival[] {
  if (!existsSync(path)) return []
  return readFileSync(path, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Arrival)
}

/** Sorts the arrivals of a stream beyond the first of each message by what brought them. */
export function sortRepetitions(arrivals: readonly Arrival[]): Repetitions {
  const places = new Map<string, Set<number>>()
  const counts = { retried: 0, redelivered: 0, republished: 0 }
  for (const { messageId, attempt = 1, sequence = 0 } of arrivals) {
    const seen = places.get(messageId)
    if (attempt > 1) counts.retried += 1
    else if (seen?.has(sequence)) counts.redelivered += 1
    else if (seen !== undefined) counts.republished += 1
    places.set(messageId, (seen ?? new Set()).add(sequence))
  }
  return counts
}
