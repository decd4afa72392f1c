import type { Gid } from '../protocol/gid.ts'
import type { CollectedMessage } from '../store/collected-message.ts'
import type { Finish, Run } from '../store/database.ts'

/** How the messages of a commit reach the relay: as rows of its database, or announced to it over the network. */
export interface CommitRoute {
  /** @param chosen - whether the gid is one that the caller chose, and may use again */
  attempt(gid: Gid, chosen: boolean): CommitAttempt
  /** Tells the relay that there is something to do. */
  wake(): void
  /** Whether a transaction draws its xid with its first statement, so that its last one may go with COMMIT. */
  readonly xidFirst: boolean
}

/** One transaction on its way. */
export interface CommitAttempt {
  /**
   * The first statements of the transaction. Resolves to whether the gid is used for the first time; false: it was
   * committed before.
   */
  claim(run: Run): Promise<boolean>
  /** The last statements of the transaction: when it resolves, COMMIT is all that is missing, and what goes with it. */
  write(run: Run, messages: readonly CollectedMessage[], finish: Finish): Promise<void>
  /**
   * Finds out whether a COMMIT that was not answered took place.
   * @throws `POSTCOMMIT_COMMIT_UNKNOWN`
   */
  resolve(cause: unknown): Promise<boolean>
  /** The transaction is committed. */
  committed(): void
  /** It is not, and nothing of it is left. */
  rolledBack(): void
  /** Claim and write in a transaction that somebody else will commit; resolves to whether it was committed before. */
  add(run: Run, messages: readonly CollectedMessage[]): Promise<boolean>
}
