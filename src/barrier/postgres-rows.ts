import { PostcommitError } from '../protocol/errors.ts'
import type { Run } from '../store/database.ts'
import { IN_FAILED_TRANSACTION, sqlState } from '../store/database-error.ts'
import { insertBarrierRows } from '../store/insert-barrier-rows.ts'
import { selectBarrierRow } from '../store/select-barrier-row.ts'
import { type BarrierRows, inProgress } from './barrier-rows.ts'

/**
 * The lock was not to be had in time; serialization failed; a deadlock; the statement was cancelled. Each says that
 * somebody else is there, and nothing about how they will end.
 */
const SOMEBODY_ELSE = new Set(['55P03', '40001', '40P01', '57014'])

/** The barrier table of PostgreSQL, through `run`. */
export function postgresRows(run: Run, waitMs: number): BarrierRows {
  return {
    async add(key, ops, { reason, digest }) {
      const { gid, branch, id } = key
      const rows = await run(insertBarrierRows({ gid, branch, id, ops, reason, digest, waitMs })).catch(
        (cause: unknown) => {
          const state = sqlState(cause)
          if (state !== undefined && SOMEBODY_ELSE.has(state)) throw inProgress(key, cause)
          if (state === IN_FAILED_TRANSACTION) throw new PostcommitError('POSTCOMMIT_TX_ABORTED', {}, { gid, cause })
          throw cause
        },
      )
      const added = rows[0]?.['ops']
      return new Set(Array.isArray(added) ? added.map(String) : [])
    },
    async read({ gid, branch, id }, op) {
      const [row] = await run(selectBarrierRow(gid, branch, op, id))
      return row === undefined ? undefined : { reason: String(row['reason']), digest: textOrNone(row['digest']) }
    },
  }
}

function textOrNone(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined
}
