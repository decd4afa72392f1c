import { Kysely, PostgresDialect } from 'kysely'
import type pg from 'pg'
import type { Tables } from '../store/tables.ts'
import { listTransactions, type TransactionFilter } from '../store/transaction/list-transactions.ts'
import { selectBranchAttempts } from '../store/transaction/select-branch-attempts.ts'
import { selectTransaction } from '../store/transaction/select-transaction.ts'
import type { TransactionKey } from '../store/transaction/transaction-row.ts'
import { listedView, storyView } from './transaction-view.ts'

/** A page of transactions, newest first. */
export interface TransactionPage {
  readonly transactions: readonly ReturnType<typeof listedView>[]
  /** What `before` of the next page is; null: there is none. */
  readonly before: string | null
}

/** A transaction with its story. */
export type ShownTransaction = ReturnType<typeof storyView>

const ATTEMPTS_MAX = 1000

/** Reads a page. */
export async function transactionPage(
  pool: pg.Pool,
  filter: TransactionFilter,
  limit: number,
): Promise<TransactionPage> {
  const db = new Kysely<Tables>({ dialect: new PostgresDialect({ pool }) })
  // One more than is shown: only so is it known whether there is another page.
  const found = await listTransactions(db, filter, limit + 1)
  const transactions = found.slice(0, limit)
  return {
    transactions: transactions.map(listedView),
    before: found.length > limit ? (transactions.at(-1)?.id ?? null) : null,
  }
}

/** Reads one transaction with its branches and the first thousand lines of its story; undefined if there is none. */
export async function transactionStory(pool: pg.Pool, key: TransactionKey): Promise<ShownTransaction | undefined> {
  const story = await selectTransaction(pool, key)
  if (story === undefined) return undefined
  return storyView(story, await selectBranchAttempts(pool, story.id, { limit: ATTEMPTS_MAX }))
}
