import { appendFileSync, existsSync, openSync, readFileSync } from 'node:fs'

/** A message that reached a service, whether or not anything came of it. */
export interface Arrival {
  readonly messageId: string
  readonly orderId: string
}

/**
 * The list of everything that reaches a service, in the order in which it does, for the ledger. It stands outside of
 * the transactions and of the database on purpose: it must know of the attempts that took no effect.
 */
export function openArrivals(path: string): { note(messageId: string, orderId: string): void } {
  const file = openSync(path, 'a')
  return {
    note: (messageId, orderId) => appendFileSync(file, `${JSON.stringify({ messageId, orderId })}\n`),
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
