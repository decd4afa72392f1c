import type { Statement } from '../../store/database.ts'
import { type BarrierRows, inProgress } from '../barrier-rows.ts'
import { errorNumber, type MysqlConnection, type Standing } from './connection.ts'
import { insertRow } from './insert-row.ts'
import { selectOwnRow, selectRow } from './select-row.ts'

const DUPLICATE_KEY = 1062
/**
 * The lock was not to be had in time; a deadlock; the row was changed after the snapshot. Each says that somebody else
 * is there, and nothing about how they will end.
 */
const SOMEBODY_ELSE = new Set([1205, 1213, 1020])

/** The barrier table of MariaDB or MySQL, through the transaction that is open on `connection`. */
export function mysqlRows(connection: MysqlConnection, waitMs: number): BarrierRows & Standing {
  let own: Statement | undefined
  return {
    async add(key, ops, { reason, digest }) {
      const added = new Set<string>()
      for (const op of ops) {
        const { text, values } = insertRow({ ...key, op, reason, digest, waitMs })
        const isNew = await connection.query(text, values).then(
          () => true,
          (cause: unknown) => {
            const number = errorNumber(cause)
            // The transaction goes on after this error, unlike in PostgreSQL.
            if (number === DUPLICATE_KEY) return false
            throw number !== undefined && SOMEBODY_ELSE.has(number) ? inProgress(key, cause) : cause
          },
        )
        if (!isNew) continue
        added.add(op)
        own = selectOwnRow(key.gid, key.branch, op, key.id)
      }
      return added
    },
    async read({ gid, branch, id }, op) {
      const { text, values } = selectRow(gid, branch, op, id)
      const [rows] = await connection.query(text, values)
      const row: unknown = Array.isArray(rows) ? rows[0] : undefined
      if (typeof row !== 'object' || row === null || !('reason' in row)) return undefined
      const digest = 'digest' in row && typeof row.digest === 'string' ? row.digest : undefined
      return { reason: String(row.reason), digest }
    },
    async stand() {
      if (own === undefined) return false
      const [rows] = await connection.query(own.text, own.values)
      return Array.isArray(rows) && rows.length > 0
    },
  }
}
