import type { Gid } from '../protocol/gid.ts'
import { Verdict } from '../protocol/verdict.ts'
import type { Run } from '../store/database.ts'
import { sqlState } from '../store/database-error.ts'
import { selectCommitStatus } from '../store/select-commit-status.ts'
import { insertTombstone } from './insert-tombstone.ts'
import { selectDecision } from './select-decision.ts'

const WAIT_MS = 200

/** Lock time-out, snapshot conflict, deadlock, cancelled statement: somebody else is at it, nothing is decided. */
const UNDECIDED = new Set(['55P03', '40001', '40P01', '57014'])

/**
 * Decides what becomes of a prepared message on PostgreSQL, once and for all: committed if its transaction is, else
 * given up, after which its transaction cannot commit. A transaction that is still open is neither.
 *
 * The commit log is asked first where the xid is known: it tells an open transaction without waiting for it. Whatever
 * else it says is only a reason to look: a server that crashed may have given the xid to another transaction.
 *
 * @throws what the database throws if it cannot be asked; that decides nothing.
 */
export async function settlePreparedMessage(run: Run, gid: Gid, hint?: string): Promise<Verdict> {
  const xid = hint !== undefined && /^\d{1,20}$/.test(hint) ? hint : undefined
  const status = xid === undefined ? undefined : await commitStatus(run, xid)
  if (status === 'in progress') return Verdict.InProgress
  if (status === 'committed') {
    const decided = await decision(run, gid)
    if (decided !== undefined) return decided
  }
  try {
    const [closed] = await run(insertTombstone(gid, WAIT_MS))
    if (closed !== undefined) return Verdict.Aborted
  } catch (error) {
    if (UNDECIDED.has(sqlState(error) ?? '')) return Verdict.InProgress
    throw error
  }
  return (await decision(run, gid)) ?? Verdict.InProgress
}

/** What was decided about a gid already. */
async function decision(run: Run, gid: Gid): Promise<Verdict | undefined> {
  const [row] = await run(selectDecision(gid))
  if (row === undefined) return undefined
  return row['reason'] === 'commit' ? Verdict.Committed : Verdict.Aborted
}

async function commitStatus(run: Run, xid: string): Promise<unknown> {
  try {
    const [row] = await run(selectCommitStatus(xid))
    return row?.['status']
  } catch (error) {
    // An xid that was never given out, or no number that can be one: the hint is of no use.
    if (sqlState(error)?.startsWith('22') === true) return undefined
    throw error
  }
}
