import { PostcommitError } from '../protocol/errors.ts'
import type { Gid } from '../protocol/gid.ts'
import { Verdict } from '../protocol/verdict.ts'
import type { Rows, Run } from '../store/database.ts'
import { sqlState } from '../store/database-error.ts'
import type { BarrierRows, RowKey } from './barrier-rows.ts'
import { postgresRows } from './postgres-rows.ts'
import { selectCommitAndDecision } from './select-commit-and-decision.ts'

/** Where the row is: the same that `outbox.commit()` claims a gid with, so that there is one decision for a gid. */
export const preparedRow = (gid: Gid): RowKey => ({ gid, branch: '', id: '' })
/** The op of the row; and, as who wrote it, the local transaction. */
export const COMMIT = 'commit'
/** Who else can have written it: a back-query that came before the local transaction. */
export const CLOSED = 'rollback'

/** How long a question waits for an open transaction that it knows no xid of. It holds a connection of the service. */
export const WAIT_MS = 200

/**
 * Decides what becomes of a prepared message, once and for all: committed if its transaction is, else given up, after
 * which its transaction cannot commit. A transaction that is still open is neither.
 *
 * It must insert. A look sees nothing of a transaction under way and would call it given up; the insert waits for it, as
 * long as `rows` do. Then the read is a statement of its own: the snapshot of the insert may be older than the row.
 *
 * @throws `POSTCOMMIT_BRANCH_IN_PROGRESS`, for {@link orInProgress}, and what the database throws if it cannot be asked;
 * that decides nothing.
 */
export async function settleByRow(rows: BarrierRows, gid: Gid): Promise<Verdict> {
  const added = await rows.add(preparedRow(gid), [COMMIT], { reason: CLOSED, digest: undefined })
  return added.has(COMMIT) ? Verdict.Aborted : await readVerdict(rows, gid)
}

/**
 * Somebody else at the row is an answer. Said outside of the transaction that asked: a deadlock has ended that, and it
 * must not be committed as if it went on.
 */
export async function orInProgress(verdict: Promise<Verdict>): Promise<Verdict> {
  try {
    return await verdict
  } catch (error) {
    if (error instanceof PostcommitError && error.code === 'POSTCOMMIT_BRANCH_IN_PROGRESS') return Verdict.InProgress
    throw error
  }
}

/**
 * {@link settleByRow} on PostgreSQL, each statement a transaction of its own.
 *
 * The commit log is asked first where the xid is known: it tells an open transaction without waiting for it. Whatever
 * else it says is only a reason to look: a server that crashed may have given the xid to another transaction.
 *
 * @param hint - the xid, if it is one
 */
export async function settlePreparedMessage(
  run: Run,
  gid: Gid,
  { hint, waitMs }: { readonly hint: string | undefined; readonly waitMs: number },
): Promise<Verdict> {
  const seen = hint !== undefined && XID.test(hint) ? await lookUp(run, gid, hint) : undefined
  if (seen?.['status'] === 'in progress') return Verdict.InProgress
  if (seen?.['status'] === 'committed') {
    const decided = verdictOf(seen['reason'])
    if (decided !== Verdict.InProgress) return decided
  }
  return await orInProgress(settleByRow(postgresRows(run, waitMs), gid))
}

/** What can be an xid. */
export const XID = /^\d{1,20}$/

async function readVerdict(rows: BarrierRows, gid: Gid): Promise<Verdict> {
  return verdictOf((await rows.read(preparedRow(gid), COMMIT))?.reason)
}

/** What the writer of the row says about the message; without a row, nothing. */
export function verdictOf(reason: unknown): Verdict {
  switch (reason) {
    case COMMIT:
      return Verdict.Committed
    case CLOSED:
      return Verdict.Aborted
    default:
      return Verdict.InProgress
  }
}

async function lookUp(run: Run, gid: Gid, xid: string): Promise<Rows[number] | undefined> {
  try {
    return (await run(selectCommitAndDecision(gid, xid)))[0]
  } catch (error) {
    // An xid that was never given out, or no number that can be one: the hint is of no use.
    if (sqlState(error)?.startsWith('22') === true) return undefined
    throw error
  }
}
