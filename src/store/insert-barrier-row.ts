import type { Statement } from './database.ts'

/** The one row to add. */
export interface BarrierRowInsert {
  readonly gid: string
  readonly branch: string
  readonly id: string
  readonly op: string
  readonly reason: string
  readonly digest: string | undefined
  /** How long to wait for a transaction that has added it and has not ended. */
  readonly waitMs: number
}

/**
 * Adds a barrier row and returns its op, null if it was there. As `insertBarrierRows` for several, for the ops that undo
 * nothing, which most are. The reasons and the figures stand above the function, in `migrations/0010-add-barrier-row.sql`.
 */
export function insertBarrierRow(insert: BarrierRowInsert): Statement {
  const { gid, branch, op, id, reason, digest = null, waitMs } = insert
  return {
    text: 'select postcommit.add_barrier_row($1, $2, $3, $4, $5, $6, $7) as op',
    values: [gid, branch, op, id, reason, digest, `${waitMs}ms`],
  }
}
