import type { Statement } from '../../store/database.ts'

/**
 * Adds one barrier row; error 1062 if it is there. A plain INSERT: IGNORE would also cut ids that are too long and
 * then take different ones for the same, and ON DUPLICATE KEY UPDATE reports a row as affected either way.
 *
 * The row is waited for if another open transaction has added it. MariaDB bounds that for this statement alone; for
 * MySQL, which cannot, the prefix is a comment, and `innodb_lock_wait_timeout` of the session holds.
 */
export function insertRow(values: {
  readonly gid: string
  readonly branch: string
  readonly op: string
  readonly id: string
  readonly reason: string
  readonly digest: string | undefined
  readonly waitMs: number
}): Statement {
  const { gid, branch, op, id, reason, digest, waitMs } = values
  const seconds = Math.max(1, Math.ceil(waitMs / 1000))
  return {
    text: `/*M! set statement innodb_lock_wait_timeout = ${seconds} for */ insert into postcommit_barrier (gid, branch, op, barrier_id, reason, digest) values (?, ?, ?, ?, ?, ?)`,
    values: [gid, branch, op, id, reason, digest ?? null],
  }
}
