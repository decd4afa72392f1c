import type { Run } from './database.ts'
import type { Fate } from './transaction-identity.ts'

/**
 * What became of a transaction, by the commit log; for an error text, so what cannot be found out is `unknown`. Asked when
 * its connection has been rolled back, so one that is still open there is as good as aborted.
 */
export async function selectTransactionFate(run: Run, xid: string | undefined): Promise<Fate> {
  if (xid === undefined) return 'unknown'
  try {
    const [row] = await run({ text: 'select pg_xact_status($1::xid8) as status', values: [xid] })
    return row?.['status'] === 'committed' ? 'committed' : row?.['status'] === 'aborted' ? 'aborted' : 'unknown'
  } catch {
    return 'unknown'
  }
}
