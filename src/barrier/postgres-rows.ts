import { PostcommitError } from '../protocol/errors.ts'
import type { Run } from '../store/database.ts'
import { IN_FAILED_TRANSACTION, sqlState } from '../store/database-error.ts'
import { insertBarrierRow } from '../store/insert-barrier-row.ts'
import { insertBarrierRows } from '../store/insert-barrier-rows.ts'
import { selectBarrierRow } from '../store/select-barrier-row.ts'
import { type BarrierRows, inProgress, type RowKey } from './barrier-rows.ts'

/**
 * The lock was not to be had in time; serialization failed; a deadlock; the statement was cancelled. Each says that
 * somebody else is there, and nothing about how they will end.
 */
const SOMEBODY_ELSE = new Set(['55P03', '40001', '40P01', '57014'])

/** The barrier table of PostgreSQL, through `run`. */
export function postgresRows(run: Run, waitMs: number): BarrierRows {
  return {
    async add(key, ops, row) {
      const [op, ...others] = ops
      const single = others.length === 0 && op !== undefined
      const statement = single
        ? insertBarrierRow({ ...key, ...row, op, waitMs })
        : insertBarrierRows({ ...key, ...row, ops, waitMs })
      const [added] = await run(statement).catch((cause: unknown) => rethrow(key, cause))
      if (single) return new Set(added?.['op'] === op ? [op] : [])
      return new Set(namesIn(added?.['ops']))
    },
    async read({ gid, branch, id }, op) {
      const [row] = await run(selectBarrierRow(gid, branch, op, id))
      return row === undefined ? undefined : { reason: String(row['reason']), digest: textOrNone(row['digest']) }
    },
  }
}

function rethrow(key: RowKey, cause: unknown): never {
  const { gid } = key
  const state = sqlState(cause)
  if (state !== undefined && SOMEBODY_ELSE.has(state)) throw inProgress(key, cause)
  if (state === IN_FAILED_TRANSACTION) throw new PostcommitError('POSTCOMMIT_TX_ABORTED', {}, { gid, cause })
  throw cause
}

function namesIn(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.map(String) : []
}

function textOrNone(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined
}
