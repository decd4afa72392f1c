import type { CommitRoute } from './commit/commit-route.ts'
import type { CacheWaited, Committed, Duplicated } from './commit/committed.ts'
import { digestMessages } from './commit/digest.ts'
import { outboxRoute } from './commit/log-route.ts'
import { draftMessages, type MessageDraft, type MessageSchemas } from './commit/message.ts'
import { isSameAsBefore, Repetition, repeatWork } from './commit/repetition.ts'
import { drawGid } from './gid.ts'
import { applyCommitted, type CollectedInvalidation } from './invalidation.ts'
import { compileOptions, type OutboxOptions, parseBackQuery } from './options.ts'
import { PostcommitError } from './protocol/errors.ts'
import { failpoint } from './protocol/failpoint.ts'
import { type Gid, parseGid } from './protocol/gid.ts'
import { CommitFailure, type IsolationLevel, type Run } from './store/database.ts'
import { type DatabaseLike, openDatabase, runInside, type TransactionOf } from './store/open-database.ts'
import type { PgClientLike } from './store/pg-database.ts'
import { messageRoute } from './two-phase/announced-route.ts'

/** How one commit is made. */
export interface CommitOptions {
  /**
   * A gid of the caller's own (1 to 64 of `A-Z a-z 0-9 _ -`), which makes the commit idempotent: the same gid with
   * the same messages is answered `duplicated`, with other messages it is `POSTCOMMIT_GID_CONFLICT`.
   */
  readonly gid?: string
  /** Isolation of the transaction; the database's default otherwise. */
  readonly isolationLevel?: IsolationLevel
  /**
   * `cache`: resolves when the invalidations of the commit have been applied to the caches at hand, or when
   * `timeoutMs` is over, and says which in `cache`. Otherwise they are applied too, and `commit()` does not wait.
   */
  readonly waitFor?: 'cache'
  /** How long `waitFor` waits, milliseconds, default 2000. */
  readonly timeoutMs?: number
}

/** What {@link createOutbox} gives. */
export interface Outbox<Tx, Schemas extends MessageSchemas = MessageSchemas> {
  /**
   * Runs `work` in a transaction, writes its messages with it and commits.
   *
   * Resolves: the rows and the messages are committed, and the messages will be delivered. Rejects: nothing was
   * written and nothing will be sent, except with `POSTCOMMIT_COMMIT_UNKNOWN`. What `work` throws is rethrown as it
   * is, after a rollback. Over pg the transaction begins with the first statement of `work`, and costs nothing if there
   * is none.
   *
   * The transaction is not for `work` to end: BEGIN, COMMIT, ROLLBACK and `transaction()` of an ORM that sends them are
   * refused before they are sent, and then nothing is committed. Savepoints are fine, and so are nested transactions that
   * are made of them. If `work` has ended it in a way that is not seen (a text of several statements), no message is sent,
   * and the error says whether the rows of the work stand.
   *
   * @throws `POSTCOMMIT_TX_CONTROL`, `POSTCOMMIT_TX_ENDED`, `POSTCOMMIT_SCHEMA_MISSING`, `POSTCOMMIT_TX_ABORTED`,
   * `POSTCOMMIT_COMMIT_ROLLED_BACK`, `POSTCOMMIT_COMMIT_UNKNOWN`,
   * `POSTCOMMIT_INVALID_GID`, `POSTCOMMIT_GID_CONFLICT`, `POSTCOMMIT_GID_ALREADY_COMMITTED`,
   * `POSTCOMMIT_MESSAGE_CLOSED`, and what {@link MessageDraft} throws; with a `relay` also
   * `POSTCOMMIT_RELAY_UNREACHABLE` and `POSTCOMMIT_RELAY_REFUSED` (nothing was written), and `POSTCOMMIT_GID_ABORTED`
   * for a gid whose earlier attempt was given up: with a relay, a gid can be used again after a failure only until the
   * relay has asked about it.
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
    options: CommitOptions & { readonly gid?: never; readonly waitFor: 'cache' },
  ): Promise<Committed<T> & CacheWaited>
  commit<T>(
    work: (tx: Tx, message: MessageDraft<Schemas>) => Promise<T> | T,
    options: CommitOptions & { readonly waitFor: 'cache' },
  ): Promise<(Committed<T> | Duplicated) & CacheWaited>
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
   * With a `relay` it announces the messages, and the relay asks what became of them when `checkAfterMs` is over; call
   * it early then: its row is what a question that comes too soon waits for.
   *
   * Over pg it looks whether the transaction is open, before `work` and after it; over Kysely the statement that writes
   * finds out.
   *
   * @param tx - a Kysely transaction or a pg client (`Client`, `PoolClient`) inside `begin`
   * @throws `POSTCOMMIT_NOT_IN_TRANSACTION`, `POSTCOMMIT_TX_ABORTED`, `POSTCOMMIT_SCHEMA_MISSING`,
   * `POSTCOMMIT_INVALID_OPTIONS`, `POSTCOMMIT_INVALID_GID`, `POSTCOMMIT_GID_CONFLICT`, and what {@link MessageDraft}
   * throws.
   */
  add(
    tx: Tx | PgClientLike,
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
  const compiled = compileOptions(options)
  const database = openDatabase(options.db, 'createOutbox')
  const route = openRoute(options, { ...compiled, run: database.run })
  async function commit<T>(
    work: (tx: TransactionOf<Db>, message: MessageDraft<Schemas>) => Promise<T> | T,
    options: CommitOptions = {},
  ): Promise<(Committed<T> | Duplicated) & Partial<CacheWaited>> {
    const invalidations: CollectedInvalidation[] = []
    return await withCache(await write(work, options, invalidations), invalidations, options)
  }

  async function write<T>(
    work: (tx: TransactionOf<Db>, message: MessageDraft<Schemas>) => Promise<T> | T,
    { gid: chosen, isolationLevel }: CommitOptions,
    invalidated: CollectedInvalidation[],
  ): Promise<Committed<T> | Duplicated> {
    const gid = chosen === undefined ? drawGid() : parseGid(chosen)
    const attempt = route.attempt(gid, chosen !== undefined)
    let done: { readonly value: T } | undefined
    try {
      await database.transaction(
        async (tx, run, _, finish) => {
          const first = await attempt.claim(run)
          const { draft, collect, invalidations } = draftMessages(options.messages, compiled)
          const value = await (first ? work(tx, draft) : repeatWork(gid, () => work(tx, draft)))
          const messages = await collect()
          invalidated.push(...invalidations)
          if (!first) throw new Repetition(await isSameAsBefore(run, gid, digestMessages(messages)))
          await attempt.write(run, messages, finish)
          done = { value }
          failpoint('sdk.before_commit')
        },
        { caller: 'commit', gid, isolationLevel, xidFirst: route.xidFirst, sendAhead: options.sendAhead },
      )
    } catch (error) {
      if (error instanceof Repetition) return error.answer(gid)
      const lost = error instanceof CommitFailure && !error.rolledBack && done !== undefined
      const stands = lost && (await attempt.resolve(error.cause))
      if (!stands) {
        attempt.rolledBack()
        if (!(error instanceof CommitFailure)) throw error
        throw new PostcommitError('POSTCOMMIT_COMMIT_ROLLED_BACK', { gid }, { gid, cause: error.cause })
      }
    }
    failpoint('sdk.after_commit')
    attempt.committed()
    // The transaction ends without an error only after `done` was set.
    return { gid, duplicated: false, value: (done as unknown as { value: T }).value }
  }

  return {
    commit: commit as Outbox<TransactionOf<Db>, Schemas>['commit'],
    async add(tx, work, { gid: chosen } = {}) {
      const gid = chosen === undefined ? drawGid() : parseGid(chosen)
      await runInside(tx, 'add')
      const { draft, collect } = draftMessages(options.messages, compiled)
      await work(draft)
      const messages = await collect()
      // Once more: the work may have ended the transaction.
      return {
        gid,
        duplicated: await route.attempt(gid, chosen !== undefined).add(await runInside(tx, 'add'), messages),
      }
    },
    wake: () => route.wake(),
  }
}

function openRoute<Db extends DatabaseLike, Schemas extends MessageSchemas>(
  options: OutboxOptions<Db, Schemas>,
  compiled: ReturnType<typeof compileOptions> & { readonly run: Run },
): CommitRoute {
  return options.relay === undefined
    ? outboxRoute({ ...compiled, wake: options.wake ?? 'notify' })
    : messageRoute({ ...compiled, relay: options.relay, ...parseBackQuery(options) })
}

/** Has the caches at hand apply what a commit invalidates, and waits for them where that was asked for. */
async function withCache<Result extends Committed<unknown> | Duplicated>(
  result: Result,
  invalidations: readonly CollectedInvalidation[],
  { waitFor, timeoutMs }: CommitOptions,
): Promise<Result & Partial<CacheWaited>> {
  // After a repetition too: a caller may repeat because it was not told that they are applied.
  const applied = invalidations.length === 0 ? 'applied' : applyCommitted(result.gid, invalidations, timeoutMs)
  return waitFor === undefined ? result : { ...result, cache: await applied }
}
