import type { Statement } from './database.ts'

/**
 * The xid of a transaction that wrote no message, if it wrote anything. It is run last in place of the insert, and
 * like it fails loudly (25P02) in a transaction that has failed unnoticed.
 */
export function selectXid(): Statement {
  return { text: 'select pg_current_xact_id_if_assigned()::text as xid', values: [] }
}
