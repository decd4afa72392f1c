import { PostcommitError } from '../protocol/errors.ts'
import type { TransactionOptions } from './database.ts'
import { IN_FAILED_TRANSACTION, sqlState } from './database-error.ts'
import { nameOurSchemaMissing } from './schema-missing.ts'
import { type Fate, isOtherTransaction, transactionEnded } from './transaction-identity.ts'

/** The last statement found another transaction than the one that was opened, or none. */
export class EndedByWork extends Error {
  override readonly name = 'EndedByWork'
  readonly #caller: string

  constructor(caller: string, cause: unknown) {
    super('the work ended its transaction', { cause })
    this.#caller = caller
  }

  /** As the caller is told. */
  named(fate: Fate): PostcommitError<'POSTCOMMIT_TX_ENDED'> {
    return transactionEnded(this.#caller, fate, this.cause)
  }
}

/** What the last statement of a transaction was rejected with, in the words of this project. */
export function nameEnd(cause: unknown, { caller, gid }: Pick<TransactionOptions, 'caller' | 'gid'>): unknown {
  if (isOtherTransaction(cause)) return new EndedByWork(caller, cause)
  if (sqlState(cause) !== IN_FAILED_TRANSACTION) return nameOurSchemaMissing(cause)
  return new PostcommitError('POSTCOMMIT_TX_ABORTED', {}, { cause, ...(gid !== undefined && { gid }) })
}
