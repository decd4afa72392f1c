import type { Statement } from './database.ts'

/**
 * Fails with 25P02 in a transaction in which a statement failed and its error was swallowed. COMMIT of such a
 * transaction answers ROLLBACK without an error, and a client that hides the answer would call it a success.
 */
export function probeTransaction(): Statement {
  return { text: 'select 1', values: [] }
}
