import { PostcommitError } from '../protocol/errors.ts'
import type { Gid } from '../protocol/gid.ts'
import { IN_FAILED_TRANSACTION, sqlState } from '../store/database-error.ts'
import { isOtherTransaction } from '../store/transaction-identity.ts'

/**
 * Runs a statement that notices if its transaction has failed unnoticed.
 * @throws `POSTCOMMIT_TX_ABORTED`, and `POSTCOMMIT_NOT_IN_TRANSACTION` if it was run in none.
 */
export async function inLiveTransaction<T>(gid: Gid, statement: Promise<T>): Promise<T> {
  return await statement.catch((cause: unknown) => {
    throw nameAborted(gid, cause)
  })
}

/** What such a statement was rejected with, as the caller is told. */
function nameAborted(gid: Gid, cause: unknown): unknown {
  if (isOtherTransaction(cause)) return new PostcommitError('POSTCOMMIT_NOT_IN_TRANSACTION', {}, { gid, cause })
  if (sqlState(cause) !== IN_FAILED_TRANSACTION) return cause
  return new PostcommitError('POSTCOMMIT_TX_ABORTED', {}, { gid, cause })
}
