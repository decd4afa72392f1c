import { sleep } from './clock.ts'
import { PostcommitError } from './protocol/errors.ts'
import type { Gid } from './protocol/gid.ts'
import type { Run } from './store/database.ts'
import { selectCommitStatus } from './store/select-commit-status.ts'

const ASK_AGAIN_MS = 100

/**
 * Finds out what became of a transaction whose COMMIT was not answered: the connection died, the message may or may
 * not have arrived, the server may still be at it. PostgreSQL's commit log knows, and asking it needs only the xid.
 *
 * @param xid - undefined if the transaction wrote nothing, and so has nothing to be unsure of
 * @returns whether it committed
 * @throws `POSTCOMMIT_COMMIT_UNKNOWN`, with `resolve()`, if the database gives no answer within `timeMs`.
 */
export async function resolveCommit(
  run: Run,
  gid: Gid,
  xid: string | undefined,
  timeMs: number,
  cause: unknown,
): Promise<boolean> {
  if (xid === undefined) return true
  const deadline = performance.now() + timeMs
  for (;;) {
    const status = await run(selectCommitStatus(xid)).then(
      ([row]) => row?.['status'],
      () => 'unreachable',
    )
    if (status === 'committed') return true
    if (status === 'aborted') return false
    // null: older than the commit log reaches back; asking again will not change that.
    if (status === null || performance.now() >= deadline) break
    await sleep(ASK_AGAIN_MS)
  }
  const error = new PostcommitError('POSTCOMMIT_COMMIT_UNKNOWN', { gid }, { gid, cause })
  error.resolve = () => resolveCommit(run, gid, xid, timeMs, cause)
  throw error
}
