import { COMMIT, settlePreparedMessage, WAIT_MS } from '../barrier/settle-prepared-message.ts'
import { sleep } from '../clock.ts'
import type { CommitRoute } from '../commit/commit-route.ts'
import { digestMessages } from '../commit/digest.ts'
import { inLiveTransaction } from '../commit/live-transaction.ts'
import { isSameAsBefore } from '../commit/repetition.ts'
import { PostcommitError } from '../protocol/errors.ts'
import { failpoint } from '../protocol/failpoint.ts'
import type { Gid } from '../protocol/gid.ts'
import type { Target } from '../protocol/target.ts'
import { Verdict } from '../protocol/verdict.ts'
import type { RelayClient } from '../relay-client/relay-client.ts'
import type { CollectedMessage } from '../store/collected-message.ts'
import type { Finish, Run } from '../store/database.ts'
import { selectBarrierRow } from '../store/select-barrier-row.ts'
import { assertTransaction } from '../store/transaction-identity.ts'
import { updateGidDigest } from '../store/update-gid-digest.ts'
import { defineMessages } from './define-messages.ts'
import { insertPreparedMessage } from './insert-prepared-message.ts'

/** What {@link messageRoute} needs. */
export interface MessageRouteOptions {
  readonly run: Run
  readonly relay: RelayClient
  readonly target: Target
  readonly checkAfterMs: number
  readonly prepareMs: number
  readonly resolveMs: number
  readonly onRefused: (error: unknown, about: { readonly gid: string }) => void
}

const ASK_AGAIN_MS = 100

/**
 * The messages are announced to a relay that cannot read this database: prepare before COMMIT, submit after it, and
 * a row of the transaction that says which it was if the service does not come to that.
 *
 * - The announcement is acknowledged before COMMIT is sent, or there would be a commit that no relay ever asks about.
 *   It is on its way while the last statement of the transaction is.
 * - The release is not waited for: from the announcement on the relay will ask, so a release that is lost costs time
 *   and no message.
 * - Giving up is final at the relay, so it is sent only when the transaction is known to be rolled back, and not for
 *   a gid that the caller may use again.
 */
export function messageRoute(options: MessageRouteOptions): CommitRoute {
  const { run: outside, relay, target, checkAfterMs, prepareMs, resolveMs } = options

  async function announce(gid: Gid, xid: string | undefined, messages: readonly CollectedMessage[]): Promise<void> {
    failpoint('sdk.before_prepare')
    const backQuery = { target, checkAfterMs, ...(xid === undefined ? {} : { hint: xid }) }
    await relay.prepare(gid, defineMessages(messages, backQuery), { timeoutMs: prepareMs })
    failpoint('sdk.after_prepare')
  }

  function release(gid: Gid): void {
    failpoint('sdk.before_submit')
    void relay.submit(gid).then(
      () => failpoint('sdk.after_submit'),
      (error: unknown) => {
        const willAsk = error instanceof PostcommitError && error.retryable
        if (!willAsk) options.onRefused(error, { gid })
      },
    )
  }

  return {
    wake: () => undefined,
    xidFirst: false,
    attempt(gid, chosen) {
      let xid: string | undefined
      let announced = false
      const claim = async (run: Run): Promise<boolean> => {
        const [row] = await run(insertPreparedMessage(gid))
        if (typeof row?.['xid'] === 'string') xid = row['xid']
        return row !== undefined || (await refuseGivenUp(run, gid))
      }
      const write = async (run: Run, messages: readonly CollectedMessage[], finish?: Finish): Promise<void> => {
        const closing = assertTransaction(run.identity)
        const last = inLiveTransaction<unknown>(
          gid,
          chosen ? run(updateGidDigest(gid, digestMessages(messages))) : (finish ?? run)(closing),
        )
        announced = messages.length > 0
        const both = [last, ...(announced ? [announce(gid, xid, messages)] : [])]
        // Both to the end: what is still on its way must not meet the rollback. The statement speaks first, because
        // an answer of the relay must not hide that the transaction has failed.
        for (const result of await Promise.allSettled(both)) if (result.status === 'rejected') throw result.reason
      }
      return {
        claim,
        write,
        resolve: (cause) => resolve(outside, gid, xid, resolveMs, cause),
        committed() {
          if (announced) release(gid)
        },
        rolledBack() {
          if (announced && !chosen) relay.abort(gid, 'the transaction was rolled back').catch(() => undefined)
        },
        async add(run, messages) {
          if (await claim(run)) {
            await write(run, messages)
            return false
          }
          if (await isSameAsBefore(run, gid, digestMessages(messages))) return true
          throw new PostcommitError('POSTCOMMIT_GID_CONFLICT', { gid }, { gid })
        },
      }
    },
  }
}

/**
 * A gid whose row was there already: committed before, or given up.
 * @throws `POSTCOMMIT_GID_ABORTED`
 */
async function refuseGivenUp(run: Run, gid: Gid): Promise<false> {
  const [row] = await run(selectBarrierRow(gid, '', COMMIT, ''))
  if (row?.['reason'] === COMMIT) return false
  throw new PostcommitError('POSTCOMMIT_GID_ABORTED', { gid }, { gid })
}

/** Asks the question of the relay itself: it decides, so that there is an answer whatever became of COMMIT. */
async function resolve(run: Run, gid: Gid, xid: string | undefined, timeMs: number, cause: unknown): Promise<boolean> {
  const deadline = performance.now() + timeMs
  do {
    const verdict = await settlePreparedMessage(run, gid, { hint: xid, waitMs: WAIT_MS }).catch(() => undefined)
    if (verdict === Verdict.Committed) return true
    if (verdict === Verdict.Aborted) return false
    await sleep(ASK_AGAIN_MS)
  } while (performance.now() < deadline)
  const error = new PostcommitError('POSTCOMMIT_COMMIT_UNKNOWN', { gid }, { gid, cause })
  error.resolve = () => resolve(run, gid, xid, timeMs, cause)
  throw error
}
