import { sleep } from '../clock.ts'
import { PostcommitError } from '../protocol/errors.ts'
import type { Gid } from '../protocol/gid.ts'
import type { Run } from '../store/database.ts'
import { sqlState } from '../store/database-error.ts'
import { selectCommitStatus } from '../store/select-commit-status.ts'
import { selectCommitTrace } from '../store/select-commit-trace.ts'

/** A transaction that was to be committed. */
export interface UnansweredCommit {
  readonly gid: Gid
  /** Undefined if the transaction wrote nothing, and so has nothing to be unsure of. */
  readonly xid: string | undefined
  /** Whether it wrote anything of ours that can be looked for: messages, or the claim of a chosen gid. */
  readonly leavesTrace: boolean
}

const ASK_AGAIN_MS = 100
const INVALID_PARAMETER = '22023'

/**
 * Finds out what became of a transaction whose COMMIT was not answered: the connection died, the message may or may
 * not have arrived, the server may still be at it.
 *
 * The commit log knows by xid, but a server that crashed may have forgotten the transaction altogether and given its
 * xid to another one: then the commit log speaks of that one. So `committed` counts only together with a row that the
 * transaction has written, looked for after the commit log has answered.
 *
 * @returns whether it committed
 * @throws `POSTCOMMIT_COMMIT_UNKNOWN`, with `resolve()`, if the database gives no answer within `timeMs`.
 */
export async function resolveCommit(
  run: Run,
  commit: UnansweredCommit,
  timeMs: number,
  cause: unknown,
): Promise<boolean> {
  const { gid, xid } = commit
  if (xid === undefined) return true
  const deadline = performance.now() + timeMs
  do {
    const verdict = await askOnce(run, { ...commit, xid }).catch(() => undefined)
    if (verdict !== undefined) return verdict
    await sleep(ASK_AGAIN_MS)
  } while (performance.now() < deadline)
  const error = new PostcommitError('POSTCOMMIT_COMMIT_UNKNOWN', { gid }, { gid, cause })
  error.resolve = () => resolveCommit(run, commit, timeMs, cause)
  throw error
}

/** Whether it committed; undefined while that cannot be told. */
async function askOnce(
  run: Run,
  { gid, xid, leavesTrace }: UnansweredCommit & { readonly xid: string },
): Promise<boolean | undefined> {
  const status = await run(selectCommitStatus(xid)).then(([row]) => row?.['status'], futureStatus)
  if (status === 'aborted') return false
  if (status === 'in progress') return undefined
  const [trace] = await run(selectCommitTrace(gid, xid))
  if (trace?.['found'] === true) return true
  // A standby has not got to it yet, or the commit log does not reach back so far.
  if (trace?.['standby'] !== false || status === null) return undefined
  return status === 'future' || leavesTrace ? false : undefined
}

/** The server has not given out this xid: it crashed before anything of the transaction was on disk. */
function futureStatus(error: unknown): 'future' {
  if (sqlState(error) === INVALID_PARAMETER) return 'future'
  throw error
}
