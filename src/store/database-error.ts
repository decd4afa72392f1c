/** The SQLSTATE of an error that PostgreSQL itself sent, or `undefined` for any other error. */
export function sqlState(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null) return undefined
  // A socket error has a `code` too (EPIPE even has five letters); only the server's errors have a severity.
  if (!('severity' in error) || !('code' in error) || typeof error.code !== 'string') return undefined
  return error.code
}

// Connection trouble, shortage, shutdown and internal errors: the server speaks, but not about this transaction.
const CLASSES_WITHOUT_VERDICT = new Set(['08', '53', '57', '58', 'XX'])

/** Whether the database has said by this error that the transaction did not commit. */
export function isDatabaseVerdict(error: unknown): boolean {
  const state = sqlState(error)
  return state !== undefined && !CLASSES_WITHOUT_VERDICT.has(state.slice(0, 2))
}

/** `current transaction is aborted`: an earlier statement failed and somebody swallowed its error. */
export const IN_FAILED_TRANSACTION = '25P02'
