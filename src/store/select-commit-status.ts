import type { Statement } from './database.ts'

/**
 * What became of a transaction: `committed`, `aborted`, `in progress`, or null if its status is too old to be known.
 * Asks the commit log by xid; reads no table and waits for nobody.
 */
export function selectCommitStatus(xid: string): Statement {
  return { text: 'select pg_xact_status($1::xid8) as status', values: [xid] }
}
