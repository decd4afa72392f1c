import { PostcommitError } from '../protocol/errors.ts'
import type { TransactionIdentity } from './database.ts'
import { CommitFailure, type Database, type Finish, finishWith, type Run } from './database.ts'
import { isDatabaseVerdict } from './database-error.ts'
import { nameSchemaMissing } from './schema-missing.ts'
import { EndedByWork, nameEnd } from './transaction-end.ts'
import {
  assertTransaction,
  drawIdentity,
  refuseControl,
  setIdentity,
  transactionControlIn,
} from './transaction-identity.ts'

/** What is used of a `Kysely` instance. */
export interface KyselyLike {
  transaction(): { execute(callback: never): Promise<unknown> }
  executeQuery(query: never): Promise<unknown>
}

interface Executor {
  readonly isTransaction: boolean
  executeQuery(query: RawQuery): Promise<{ rows: Record<string, unknown>[] }>
  withPlugin?(plugin: Plugin): Executor
}

/** A plugin of Kysely, as far as it is needed to see what is about to be sent. */
interface Plugin {
  transformQuery(args: { readonly node: { readonly kind: string; readonly sqlFragments?: readonly string[] } }): unknown
  transformResult(args: { readonly result: unknown }): Promise<unknown>
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
    survivesLoss: false,
    async transaction(work, options) {
      const { isolationLevel, opening, caller } = options
      const builder = instance.transaction()
      const levelled = isolationLevel === undefined ? builder : builder.setIsolationLevel(isolationLevel)
      let outcome: { done: false } | { done: true; error?: unknown } = { done: false }
      try {
        return await levelled.execute(async (tx) => {
          try {
            const inside = await identified(tx)
            let isClosed = false
            const close: Finish = async (statement) => {
              isClosed = true
              return await finishWith(inside)(statement).catch((cause: unknown) => {
                throw nameEnd(cause, options)
              })
            }
            const refused: { error?: PostcommitError } = {}
            const value = await work(refusing(tx, caller, refused), inside, opening ? await inside(opening) : [], close)
            // What was to be undone by it would stand.
            if (refused.error !== undefined) throw refused.error
            // Kysely hides the command tag of COMMIT, and which transaction it ends.
            if (!isClosed) await close(assertTransaction(inside.identity))
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

/** What a rejected Kysely transaction means. */
function rejection(outcome: { done: boolean; error?: unknown }, error: unknown): unknown {
  // Kysely rolls back before it rethrows, and on a dead connection throws the error of the rollback instead.
  if ('error' in outcome) return outcome.error instanceof EndedByWork ? outcome.error.named('unknown') : outcome.error
  if (!outcome.done || isDatabaseVerdict(error)) return error
  return new CommitFailure(false, error)
}

/**
 * Statements in a Kysely transaction that the caller opened. Kysely does not tell whether it is still open: outside of a
 * transaction the identity does not take, and what is written under it is refused.
 */
export async function runOnKysely(tx: object): Promise<Run> {
  if (!('isTransaction' in tx) || tx.isTransaction !== true) {
    throw new PostcommitError('POSTCOMMIT_NOT_IN_TRANSACTION')
  }
  return await identified(tx as Executor)
}

async function identified(tx: Executor): Promise<Run & { readonly identity: TransactionIdentity }> {
  const identity = drawIdentity()
  const inside = run(tx)
  await inside({ text: setIdentity(identity), values: [] })
  return Object.assign(inside, { identity })
}

/** The transaction as the work gets it: statements that would end it are refused before they are sent. */
function refusing(tx: Executor, caller: string, refused: { error?: PostcommitError }): Executor {
  const plugin: Plugin = {
    transformQuery({ node }) {
      const statement = node.kind === 'RawNode' ? transactionControlIn(node.sqlFragments?.[0]) : undefined
      if (statement !== undefined) {
        refused.error ??= refuseControl(statement, caller)
        throw refused.error
      }
      return node
    },
    transformResult: async ({ result }) => result,
  }
  return tx.withPlugin?.(plugin) ?? tx
}

function run(executor: Executor): Run {
  return async ({ text, values }) => {
    const query: RawQuery = {
      sql: text,
      parameters: values,
      query: { kind: 'RawNode', sqlFragments: [text], parameters: [] },
      queryId: { queryId: 'postcommit' },
    }
    const { rows } = await executor.executeQuery(query).catch((cause: unknown) => {
      throw nameSchemaMissing(cause)
    })
    return rows
  }
}
