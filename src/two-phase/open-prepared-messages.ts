import { settlePreparedMessage, WAIT_MS } from '../barrier/settle-prepared-message.ts'
import { PostcommitError } from '../protocol/errors.ts'
import type { Gid } from '../protocol/gid.ts'
import type { Verdict } from '../protocol/verdict.ts'
import { type DatabaseLike, openDatabase } from '../store/open-database.ts'

/** A store of prepared messages that can say, once and for all, what became of one. */
export interface PreparedMessages {
  /**
   * Decides: committed if its transaction is; given up if it is not and, from now on, cannot be; or neither yet.
   * Whatever goes wrong is thrown and decides nothing.
   *
   * @param hint - what was given along with the announcement
   */
  settlePreparedMessage(gid: string, hint?: string): Promise<Verdict>
}

/** Where prepared messages are: one of the two. */
export interface PreparedMessagesOptions {
  /** The database of the outbox: a Kysely instance (PostgreSQL dialect) or a pg Pool, on the primary. */
  readonly db?: DatabaseLike
  /** The store instead, where it is not PostgreSQL. */
  readonly messages?: PreparedMessages
}

/**
 * Opens the store of prepared messages that options name.
 * @throws `POSTCOMMIT_INVALID_OPTIONS`.
 */
export function openPreparedMessages({ db, messages }: PreparedMessagesOptions, user: string): PreparedMessages {
  if ((db === undefined) === (messages === undefined)) {
    throw new PostcommitError('POSTCOMMIT_INVALID_OPTIONS', {
      function: user,
      reason: 'it takes either db or messages',
    })
  }
  if (messages !== undefined) return messages
  const { run } = openDatabase(db as DatabaseLike, user)
  return { settlePreparedMessage: (gid, hint) => settlePreparedMessage(run, gid as Gid, { hint, waitMs: WAIT_MS }) }
}
