import { PostcommitError } from '../protocol/errors.ts'
import type { Gid } from '../protocol/gid.ts'

/** The rows that guard one place in one branch. */
export interface RowKey {
  readonly gid: Gid
  readonly branch: string
  /** Which barrier of a handler that has several. */
  readonly id: string
}

/** What a row says. */
export interface BarrierRow {
  readonly reason: string
  readonly digest: string | undefined
}

/** The barrier table, through statements in one transaction. */
export interface BarrierRows {
  /**
   * Adds a row for each op in turn, and says which were new. A row that another transaction has added and not yet
   * decided on is waited for, at most for the time that the rows were opened with.
   * @throws `POSTCOMMIT_BRANCH_IN_PROGRESS`.
   */
  add(key: RowKey, ops: readonly string[], row: BarrierRow): Promise<ReadonlySet<string>>
  /** The row as it is committed or as this transaction has written it. */
  read(key: RowKey, op: string): Promise<BarrierRow | undefined>
}

/** Another transaction is at the same place, and may still end either way. */
export function inProgress({ gid, branch }: Pick<RowKey, 'gid' | 'branch'>, cause?: unknown): PostcommitError {
  return new PostcommitError('POSTCOMMIT_BRANCH_IN_PROGRESS', { gid, branch }, { gid, cause })
}
