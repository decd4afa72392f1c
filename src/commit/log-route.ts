import { PostcommitError } from '../protocol/errors.ts'
import type { Gid } from '../protocol/gid.ts'
import type { CollectedMessage } from '../store/collected-message.ts'
import type { Run, Statement, TransactionIdentity } from '../store/database.ts'
import { insertGid } from '../store/insert-gid.ts'
import { insertMessages } from '../store/insert-messages.ts'
import { notify } from '../store/notify.ts'
import { publishMessage } from '../store/publish-message.ts'
import { assertTransaction } from '../store/transaction-identity.ts'
import { updateGidDigest } from '../store/update-gid-digest.ts'
import type { CommitRoute } from './commit-route.ts'
import { resolveCommit } from './commit-status.ts'
import { digestMessages } from './digest.ts'
import { inLiveTransaction } from './live-transaction.ts'
import { isSameAsBefore } from './repetition.ts'
import { coalesceWake } from './wake.ts'

/** What {@link outboxRoute} needs. */
export interface OutboxRouteOptions {
  readonly run: Run
  readonly wake: 'notify' | 'off' | (() => Promise<void>)
  readonly wakeGapMs: number
  readonly resolveMs: number
}

/** The messages are rows of the service's database, which the relay reads. */
export function outboxRoute({ run: outside, wake: how, wakeGapMs, resolveMs }: OutboxRouteOptions): CommitRoute {
  const wake = openWake(how, outside, wakeGapMs)
  return {
    wake,
    xidFirst: true,
    attempt(gid, chosen) {
      let written: { readonly xid: string | undefined; readonly leavesTrace: boolean } | undefined
      return {
        claim: async (run) => !chosen || (await run(insertGid(gid, null)))[0] !== undefined,
        async write(run, messages, finish) {
          if (chosen) await inLiveTransaction(gid, run(updateGidDigest(gid, digestMessages(messages))))
          const xid = await finish(writingOf(gid, messages, run.identity))
          written = { xid, leavesTrace: chosen || messages.length > 0 }
        },
        resolve: async (cause) =>
          written !== undefined && (await resolveCommit(outside, { gid, ...written }, resolveMs, cause)),
        committed: wake,
        rolledBack: () => undefined,
        async add(run, messages) {
          if (chosen) {
            const digest = digestMessages(messages)
            const [claimed] = await run(insertGid(gid, digest))
            if (claimed === undefined) {
              if (await isSameAsBefore(run, gid, digest)) return true
              throw new PostcommitError('POSTCOMMIT_GID_CONFLICT', { gid }, { gid })
            }
          }
          await inLiveTransaction(gid, run(writingOf(gid, messages, run.identity)))
          return false
        },
      }
    },
  }
}

/** Its row is the xid of the transaction, undefined if that has written nothing at all. */
function writingOf(
  gid: Gid,
  messages: readonly CollectedMessage[],
  identity: TransactionIdentity | undefined,
): Statement {
  const [only] = messages
  if (only === undefined) return assertTransaction(identity)
  const isPublish = only.kind === 'publish' && messages.length === 1
  return isPublish ? publishMessage(gid, only, identity) : insertMessages(gid, messages, identity)
}

function openWake(wake: 'notify' | 'off' | (() => Promise<void>), run: Run, gapMs: number): () => void {
  if (wake === 'off') return () => undefined
  return coalesceWake(wake === 'notify' ? () => run(notify()) : wake, gapMs)
}
