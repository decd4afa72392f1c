import { PostcommitError } from '../protocol/errors.ts'
import { CommitFailure, type Database, finishWith, type Run } from './database.ts'
import { isDatabaseVerdict } from './database-error.ts'

/** What is used of a `Kysely` instance. */
export interface KyselyLike {
  transaction(): { execute(callback: never): Promise<unknown> }
  executeQuery(query: never): Promise<unknown>
}

interface Executor {
  readonly isTransaction: boolean
  executeQuery(query: RawQuery): Promise<{ rows: Record<string, unknown>[] }>
}

interface TransactionBuilder {
  setIsolationLevel(level: string): TransactionBuilder
  execute<T>(callback: (tx: Executor) => Promise<T>): Promise<T>
}

/** A compiled query as Kysely executes it: the shape of its `CompiledQuery.raw(sql, parameters)`. */
interface RawQuery {
  readonly sql: string
  readonly parameters: readonly unknown[]
  readonly query: { readonly kind: 'RawNode'; readonly sqlFragments: readonly string[]; readonly parameters: [] }
  readonly queryId: { readonly queryId: string }
}

/** A Kysely instance as a {@link Database}. */
export function openKysely(db: KyselyLike): Database<Executor> {
  const instance = db as unknown as Executor & { transaction(): TransactionBuilder }
  return {
    run: run(instance),
    noticesRollback: false,
    async transaction(work, { isolationLevel, opening } = {}) {
      const builder = instance.transaction()
      const levelled = isolationLevel === undefined ? builder : builder.setIsolationLevel(isolationLevel)
      let outcome: { done: false } | { done: true; error?: unknown } = { done: false }
      try {
        return await levelled.execute(async (tx) => {
          try {
            const inside = run(tx)
            const value = await work(tx, inside, opening === undefined ? [] : await inside(opening), finishWith(inside))
            outcome = { done: true }
            return value
          } catch (error) {
            outcome = { done: true, error }
            throw error
          }
        })
      } catch (error) {
        throw rejection(outcome, error)
      }
    },
  }
}

/**
 * What a rejected Kysely transaction means. Kysely hides the command tag of COMMIT, so "COMMIT answered ROLLBACK"
 * cannot be seen here; the outbox insert, and the inbox's probe, are the last statement for that reason and fail
 * loudly in a dead transaction.
 */
function rejection(outcome: { done: boolean; error?: unknown }, error: unknown): unknown {
  // Kysely rolls back before it rethrows, and on a dead connection throws the error of the rollback instead.
  if ('error' in outcome) return outcome.error
  if (!outcome.done || isDatabaseVerdict(error)) return error
  return new CommitFailure(false, error)
}

/** Statements in a Kysely transaction. */
export async function runOnKysely(tx: object): Promise<Run> {
  if (!('isTransaction' in tx) || tx.isTransaction !== true) {
    throw new PostcommitError('POSTCOMMIT_NOT_IN_TRANSACTION')
  }
  return run(tx as Executor)
}

function run(executor: Executor): Run {
  return async ({ text, values }) => {
    const { rows } = await executor.executeQuery({
      sql: text,
      parameters: values,
      query: { kind: 'RawNode', sqlFragments: [text], parameters: [] },
      queryId: { queryId: 'postcommit' },
    })
    return rows
  }
}
