import type { Run } from './database.ts'

/**
 * Rejects with 25P02 in a transaction in which a statement failed and its error was swallowed. COMMIT of such a
 * transaction answers ROLLBACK without an error, and a client that hides the answer would call it a success.
 *
 * A client that was told how its transaction stands with the last answer need not ask: a round trip is a fifth of what a
 * transaction of one statement costs.
 */
export async function probeTransaction(run: Run): Promise<void> {
  if (run.isLive?.() !== true) await run({ text: 'select 1', values: [] })
}
