import { resolveCommit, type UnansweredCommit } from './commit-status.ts'
import { digestMessages } from './digest.ts'
import { drawGid } from './gid.ts'
import { draftMessages, type MessageDraft, type MessageSchemas } from './message.ts'
import { compileOptions, type OutboxOptions } from './options.ts'
import { PostcommitError } from './protocol/errors.ts'
import { failpoint } from './protocol/failpoint.ts'
import { type Gid, parseGid } from './protocol/gid.ts'
import type { CollectedMessage } from './store/collected-message.ts'
import { CommitFailure, type IsolationLevel, type Run, type Statement } from './store/database.ts'
import { IN_FAILED_TRANSACTION, sqlState } from './store/database-error.ts'
import { insertGid } from './store/insert-gid.ts'
import { insertMessages } from './store/insert-messages.ts'
import { notify } from './store/notify.ts'
import { type DatabaseLike, openDatabase, runInside, type TransactionOf } from './store/open-database.ts'
import { publishMessage } from './store/publish-message.ts'
import { selectGidDigest } from './store/select-gid-digest.ts'
import { selectXid } from './store/select-xid.ts'
import { updateGidDigest } from './store/update-gid-digest.ts'
import { coalesceWake } from './wake.ts'

/** How one commit is made. */
export interface CommitOptions {
  /**
   * A gid of the caller's own (1 to 64 of `A-Z a-z 0-9 _ -`), which makes the commit idempotent: the same gid with
   * the same messages is answered `duplicated`, with other messages it is `POSTCOMMIT_GID_CONFLICT`.
   */
  readonly gid?: string
  /** Isolation of the transaction; the database's default otherwise. */
  readonly isolationLevel?: IsolationLevel
}

/** A commit that stands: its messages will be delivered. */
export interface Committed<T> {
  readonly gid: Gid
  readonly duplicated: false
  /** What the work returned. */
  readonly value: T
}

/** A commit that had been made before, with the same gid and messages; this time nothing was written. */
export interface Duplicated {
  readonly gid: Gid
  readonly duplicated: true
  readonly value?: never
}

/** What {@link createOutbox} gives. */
export interface Outbox<Tx, Schemas extends MessageSchemas = MessageSchemas> {
  /**
   * Runs `work` in a transaction, writes its messages with it and commits.
   *
   * Resolves: the rows and the messages are committed, and the messages will be delivered. Rejects: nothing was
   * written and nothing will be sent, except with `POSTCOMMIT_COMMIT_UNKNOWN`. What `work` throws is rethrown as it
   * is, after a rollback.
   *
   * @throws `POSTCOMMIT_TX_ABORTED`, `POSTCOMMIT_COMMIT_ROLLED_BACK`, `POSTCOMMIT_COMMIT_UNKNOWN`,
   * `POSTCOMMIT_INVALID_GID`, `POSTCOMMIT_GID_CONFLICT`, `POSTCOMMIT_GID_ALREADY_COMMITTED`,
   * `POSTCOMMIT_MESSAGE_CLOSED`, and what {@link MessageDraft} throws.
   * @example
   * ```ts
   * const { gid, value: order } = await outbox.commit(async (tx, message) => {
   *   const order = await tx.insertInto('orders').values(draft).returningAll().executeTakeFirstOrThrow()
   *   message.publish('order.placed', { orderId: order.id }, { key: order.id })
   *   return order
   * })
   * ```
   */
  commit<T>(
    work: (tx: Tx, message: MessageDraft<Schemas>) => Promise<T> | T,
    options?: CommitOptions & { readonly gid?: never },
  ): Promise<Committed<T>>
  commit<T>(
    work: (tx: Tx, message: MessageDraft<Schemas>) => Promise<T> | T,
    options: CommitOptions,
  ): Promise<Committed<T> | Duplicated>
  /**
   * Writes messages into a transaction that the caller opened and will commit. Call it last: it takes the locks of
   * the keys, and a statement that fails after it takes the messages down too, as it must.
   *
   * @param tx - a Kysely transaction or a pg client inside `begin`
   * @throws `POSTCOMMIT_NOT_IN_TRANSACTION`, `POSTCOMMIT_TX_ABORTED`, `POSTCOMMIT_INVALID_GID`,
   * `POSTCOMMIT_GID_CONFLICT`, and what {@link MessageDraft} throws.
   */
  add(
    tx: Tx,
    work: (message: MessageDraft<Schemas>) => unknown,
    options?: Pick<CommitOptions, 'gid'>,
  ): Promise<{ readonly gid: Gid; readonly duplicated: boolean }>
  /** Wakes the relay; `commit` does it by itself, a caller of `add` may after its COMMIT. Never rejects, never waits. */
  wake(): void
}

/**
 * Opens an outbox over a service's database.
 *
 * @throws `POSTCOMMIT_INVALID_OPTIONS`.
 * @example
 * ```ts
 * const outbox = createOutbox({ db, messages: { 'order.placed': z.object({ orderId: z.string() }) } })
 * ```
 */
export function createOutbox<Db extends DatabaseLike, const Schemas extends MessageSchemas = MessageSchemas>(
  options: OutboxOptions<Db, Schemas>,
): Outbox<TransactionOf<Db>, Schemas> {
  const { payloadBytesMax, wakeGapMs, resolveMs } = compileOptions(options)
  const database = openDatabase(options.db, 'createOutbox')
  const wake = openWake(options.wake ?? 'notify', database.run, wakeGapMs)

  async function commit<T>(
    work: (tx: TransactionOf<Db>, message: MessageDraft<Schemas>) => Promise<T> | T,
    { gid: chosen, isolationLevel }: CommitOptions = {},
  ): Promise<Committed<T> | Duplicated> {
    const gid = chosen === undefined ? drawGid() : parseGid(chosen)
    let written: { readonly value: T; readonly commit: UnansweredCommit } | undefined
    try {
      await database.transaction(
        async (tx, run) => {
          const first = chosen === undefined || (await claimGid(run, gid))
          const { draft, collect } = draftMessages(options.messages, { payloadBytesMax })
          const value = await (first ? work(tx, draft) : repeatWork(gid, () => work(tx, draft)))
          const messages = await collect()
          if (!first) throw new Repetition(await isSameAsBefore(run, gid, messages))
          if (chosen !== undefined) await inLiveTransaction(gid, run(updateGidDigest(gid, digestMessages(messages))))
          const xid = await writeMessages(run, gid, messages)
          written = { value, commit: { gid, xid, leavesTrace: chosen !== undefined || messages.length > 0 } }
          failpoint('sdk.before_commit')
        },
        { isolationLevel },
      )
      failpoint('sdk.after_commit')
    } catch (error) {
      if (error instanceof Repetition) return error.answer(gid)
      if (!(error instanceof CommitFailure)) throw error
      const stands =
        !error.rolledBack &&
        written !== undefined &&
        (await resolveCommit(database.run, written.commit, resolveMs, error.cause))
      if (!stands) throw new PostcommitError('POSTCOMMIT_COMMIT_ROLLED_BACK', { gid }, { gid, cause: error.cause })
    }
    wake()
    // The transaction ends without an error only after `written` was set.
    return { gid, duplicated: false, value: (written as unknown as { value: T }).value }
  }

  return {
    commit: commit as Outbox<TransactionOf<Db>, Schemas>['commit'],
    async add(tx, work, { gid: chosen } = {}) {
      const gid = chosen === undefined ? drawGid() : parseGid(chosen)
      const run = await runInside(tx)
      const { draft, collect } = draftMessages(options.messages, { payloadBytesMax })
      await work(draft)
      const messages = await collect()
      if (chosen !== undefined) {
        const [claimed] = await run(insertGid(gid, digestMessages(messages)))
        if (claimed === undefined) {
          if (await isSameAsBefore(run, gid, messages)) return { gid, duplicated: true }
          throw new PostcommitError('POSTCOMMIT_GID_CONFLICT', { gid }, { gid })
        }
      }
      await writeMessages(run, gid, messages)
      return { gid, duplicated: false }
    },
    wake,
  }
}

/** Leaves a transaction whose gid was committed before: everything it did is rolled back. */
class Repetition extends Error {
  readonly #same: boolean

  constructor(same: boolean) {
    super('the gid was committed before')
    this.#same = same
  }

  answer(gid: Gid): Duplicated {
    if (this.#same) return { gid, duplicated: true }
    throw new PostcommitError('POSTCOMMIT_GID_CONFLICT', { gid }, { gid })
  }
}

async function claimGid(run: Run, gid: Gid): Promise<boolean> {
  const [claimed] = await run(insertGid(gid, null))
  return claimed !== undefined
}

/**
 * The work of a gid that is committed already runs once more, in a transaction that will be rolled back, because
 * only its messages tell a repetition from a conflict. It may well fail (its rows are there already).
 */
async function repeatWork<T>(gid: Gid, work: () => Promise<T> | T): Promise<T> {
  try {
    return await work()
  } catch (cause) {
    throw new PostcommitError('POSTCOMMIT_GID_ALREADY_COMMITTED', { gid }, { gid, cause })
  }
}

async function isSameAsBefore(run: Run, gid: Gid, messages: readonly CollectedMessage[]): Promise<boolean> {
  const [before] = await run(selectGidDigest(gid))
  return before?.['digest'] === digestMessages(messages)
}

/** Writes the messages; resolves to the xid of the transaction, undefined if it has written nothing at all. */
async function writeMessages(run: Run, gid: Gid, messages: readonly CollectedMessage[]): Promise<string | undefined> {
  const [row] = await inLiveTransaction(gid, run(writingOf(gid, messages)))
  return typeof row?.['xid'] === 'string' ? row['xid'] : undefined
}

function writingOf(gid: Gid, messages: readonly CollectedMessage[]): Statement {
  const [only] = messages
  if (only === undefined) return selectXid()
  return only.kind === 'publish' && messages.length === 1 ? publishMessage(gid, only) : insertMessages(gid, messages)
}

async function inLiveTransaction<T>(gid: Gid, statement: Promise<T>): Promise<T> {
  return await statement.catch((cause: unknown) => {
    if (sqlState(cause) === IN_FAILED_TRANSACTION)
      throw new PostcommitError('POSTCOMMIT_TX_ABORTED', {}, { gid, cause })
    throw cause
  })
}

function openWake(wake: 'notify' | 'off' | (() => Promise<void>), run: Run, gapMs: number): () => void {
  if (wake === 'off') return () => undefined
  return coalesceWake(wake === 'notify' ? () => run(notify()) : wake, gapMs)
}
