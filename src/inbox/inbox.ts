import { createHash } from 'node:crypto'
import { PostcommitError } from '../protocol/errors.ts'
import { failpoint } from '../protocol/failpoint.ts'
import { messageId, parseGid } from '../protocol/gid.ts'
import { CommitFailure, type Rows, type Run } from '../store/database.ts'
import { type DatabaseLike, openDatabase, type TransactionOf } from '../store/open-database.ts'
import { deleteReceipts } from './delete-receipts.ts'
import { type InboxLimits, readLimits, receiptFailure } from './inbox-limits.ts'
import { insertReceipt } from './insert-receipt.ts'
import type { Receipt } from './receipt.ts'
import { selectReceiptDigest } from './select-receipt-digest.ts'

/** What {@link createInbox} takes. */
export interface InboxOptions<Db extends DatabaseLike> extends InboxLimits {
  /** The consumer's database: a Kysely instance (PostgreSQL dialect) or a pg Pool. */
  readonly db: Db
  /**
   * Who takes effect: 1 to 64 of `A-Z a-z 0-9 _ . -`. Two consumers in one database each take effect of a message
   * once; renaming a consumer makes it forget what it has handled.
   */
  readonly consumer: string
}

/** What the inbox needs to know of a delivery; those of `subscribe()` and `handler()` fit. */
export interface InboxDelivery {
  readonly gid: string
  /** The number of the message within its transaction, from 1. */
  readonly branch: number
  /** The exact content: JSON text or bytes. */
  readonly content: string | Uint8Array
}

/** What became of {@link Inbox.once}: the work was run and committed now, or that had been done before. */
export type InboxResult<T> =
  | { readonly duplicate: false; readonly value: T }
  | { readonly duplicate: true; readonly value?: never }

/** What {@link createInbox} gives. */
export interface Inbox<Tx> {
  /**
   * Runs `work` in a transaction together with a note that this message has taken effect, unless that note is there
   * already: however often a message is delivered, its effect happens once, as long as the notes are kept
   * ({@link Inbox.purge}).
   *
   * Resolves: the effect is committed, now or before, and the delivery can be acknowledged. Rejects: not committed
   * (or not known, `POSTCOMMIT_INBOX_COMMIT_UNKNOWN`), and the delivery must not be acknowledged; what `work` throws
   * is rethrown as it is, after a rollback. A second delivery of the same message waits for the first, at most `waitMs`.
   *
   * Only what `work` does through `tx` is part of it; a mail sent from inside is sent again when it is run again.
   *
   * `work` cannot end the transaction (COMMIT, ROLLBACK, a nested BEGIN); savepoints are its own.
   *
   * @throws `POSTCOMMIT_INBOX_ID_REUSED`, `POSTCOMMIT_INBOX_COMMIT_UNKNOWN`, `POSTCOMMIT_INBOX_IN_PROGRESS`, `POSTCOMMIT_TX_ABORTED`,
   * `POSTCOMMIT_TX_CONTROL`, `POSTCOMMIT_TX_ENDED`, `POSTCOMMIT_SCHEMA_MISSING`, `POSTCOMMIT_INVALID_GID`.
   * @example
   * ```ts
   * const { duplicate } = await inbox.once(delivery, async (tx) => {
   *   await tx.updateTable('stock').set({ left: sql`left - 1` }).where('sku', '=', delivery.payload.sku).execute()
   * })
   * ```
   */
  once<T>(delivery: InboxDelivery, work: (tx: Tx) => Promise<T> | T): Promise<InboxResult<T>>
  /**
   * Deletes this consumer's notes that are older than `olderThanMs`, in batches, and resolves to how many.
   *
   * A message that comes again after its note is gone takes effect again. The safe age is the longest time between
   * two deliveries of one message: at least the relay's `retentionMs` (what it publishes again when the broker has
   * lost messages), and, for messages of a stream, as long as the stream keeps them (a nats-server that is killed at
   * the wrong moment forgets how far a consumer was, and delivers all of it again), plus the longest retry, which
   * includes the days a dead letter waits for its requeue.
   *
   * @throws `POSTCOMMIT_INVALID_OPTIONS` unless `olderThanMs` is a positive integer.
   */
  purge(options: { readonly olderThanMs: number }): Promise<number>
}

const CONSUMER = /^[A-Za-z0-9_.-]{1,64}$/
/** How long a transaction may be idle unless the consumer says so. */
const IDLE_MS = 60_000
const PURGE_BATCH = 5000

/**
 * Opens the inbox of a consumer over its own database, in which `postcommit migrate` has been run.
 *
 * @throws `POSTCOMMIT_INVALID_OPTIONS`.
 * @example
 * ```ts
 * const inbox = createInbox({ db, consumer: 'stock' })
 * ```
 */
export function createInbox<Db extends DatabaseLike>(options: InboxOptions<Db>): Inbox<TransactionOf<Db>> {
  const { consumer } = options
  if (!CONSUMER.test(consumer)) throw invalidOptions('consumer is not 1 to 64 of A-Z a-z 0-9 _ . -')
  const database = openDatabase(options.db, 'createInbox')
  const limits = readLimits(options, database.survivesLoss ? IDLE_MS : 0)
  if (typeof limits === 'string') throw invalidOptions(limits)

  return {
    async once<T>(delivery: InboxDelivery, work: (tx: TransactionOf<Db>) => Promise<T> | T): Promise<InboxResult<T>> {
      const receipt = describe(delivery, consumer)
      let isOpened = false
      const result = await database
        .transaction(
          async (tx, run, opened): Promise<InboxResult<T>> => {
            isOpened = true
            if (!(await isFirst(run, receipt, opened))) return { duplicate: true }
            const value = await work(tx)
            failpoint('consumer.before_commit')
            return { duplicate: false, value }
          },
          // One round trip less: BEGIN, receipt, work and COMMIT of a handler with one statement are three.
          { caller: 'inbox.once', gid: receipt.gid, opening: insertReceipt(receipt, limits) },
        )
        .catch(async (error: unknown) => {
          if (!isOpened) throw await receiptFailure(receipt, error, database.run)
          return rethrowCommitFailure(receipt, error)
        })
      if (!result.duplicate) failpoint('consumer.after_commit')
      return result
    },
    async purge({ olderThanMs }) {
      if (!Number.isSafeInteger(olderThanMs) || olderThanMs < 1) {
        throw invalidOptions(`olderThanMs is ${olderThanMs}, not a positive integer`)
      }
      let purged = 0
      for (;;) {
        const [row] = await database.run(deleteReceipts(consumer, olderThanMs, PURGE_BATCH))
        const batch = Number(row?.['purged'] ?? 0)
        purged += batch
        if (batch < PURGE_BATCH) return purged
      }
    },
  }
}

/** Whether what a handler returned is the result of an inbox that had seen the message before. */
export function saysDuplicate(result: unknown): boolean {
  return typeof result === 'object' && result !== null && 'duplicate' in result && result.duplicate === true
}

function describe({ gid, branch, content }: InboxDelivery, consumer: string): Receipt {
  return { gid: parseGid(gid), branch, consumer, digest: createHash('sha256').update(content).digest('hex') }
}

async function isFirst(run: Run, { gid, branch, consumer, digest }: Receipt, inserted: Rows): Promise<boolean> {
  if (inserted[0]?.['op'] === 'inbox') return true
  const [before] = await run(selectReceiptDigest(gid, branch, consumer))
  if (before?.['digest'] === digest) return false
  throw new PostcommitError('POSTCOMMIT_INBOX_ID_REUSED', { id: messageId(gid, branch), consumer }, { gid })
}

function rethrowCommitFailure({ gid, branch }: Receipt, error: unknown): never {
  if (!(error instanceof CommitFailure)) throw error
  const { cause } = error
  // COMMIT writes nothing only after a statement that failed, which the work has swallowed.
  if (error.rolledBack) throw new PostcommitError('POSTCOMMIT_TX_ABORTED', {}, { gid, cause: error })
  throw new PostcommitError('POSTCOMMIT_INBOX_COMMIT_UNKNOWN', { id: messageId(gid, branch) }, { gid, cause })
}

function invalidOptions(reason: string): PostcommitError<'POSTCOMMIT_INVALID_OPTIONS'> {
  return new PostcommitError('POSTCOMMIT_INVALID_OPTIONS', { function: 'createInbox', reason })
}
