import { PostcommitError } from '../protocol/errors.ts'
import type { Database, Run } from './database.ts'
import { type KyselyLike, openKysely, runOnKysely } from './kysely-database.ts'
import { openPool, type PoolLike, runOnClient } from './pg-database.ts'

/** A Kysely instance or a pg Pool; both are recognised by shape, neither is imported. */
export type DatabaseLike = KyselyLike | PoolLike

/**
 * The transaction type of a database: `Transaction<DB>` for `Kysely<DB>`, `PoolClient` for a `Pool`. Read off the
 * callback types of the client itself, so that the SDK's declarations compile without either package.
 */
export type TransactionOf<Db> = Db extends { transaction(): { execute(callback: infer Callback): unknown } }
  ? FirstArgument<Callback>
  : Db extends { connect(callback: infer Callback): unknown }
    ? NonNullable<SecondArgument<Callback>>
    : never

type FirstArgument<F> = F extends (first: infer A, ...rest: never[]) => unknown ? A : never
type SecondArgument<F> = F extends (first: never, second: infer B, ...rest: never[]) => unknown ? B : never

/**
 * Opens what the user handed in.
 * @throws `POSTCOMMIT_INVALID_OPTIONS` if it is neither a Kysely instance nor a pg Pool.
 */
export function openDatabase<Db extends DatabaseLike>(db: Db, caller: string): Database<TransactionOf<Db>> {
  // Two shapes, one interface: what `TransactionOf` reads from the type is what the adapter hands out at run time.
  if (isKysely(db)) return openKysely(db) as Database<TransactionOf<Db>>
  if (isPool(db)) return openPool(db) as Database<TransactionOf<Db>>
  throw new PostcommitError('POSTCOMMIT_INVALID_OPTIONS', {
    function: caller,
    reason: 'db is neither a Kysely instance nor a pg Pool',
  })
}

/**
 * Statements inside a transaction that somebody else opened.
 * @throws `POSTCOMMIT_NOT_IN_TRANSACTION` if none is open there, `POSTCOMMIT_TX_ABORTED` if it has failed.
 */
export async function runInside(tx: unknown): Promise<Run> {
  if (typeof tx === 'object' && tx !== null) {
    if ('executeQuery' in tx) return runOnKysely(tx)
    if ('query' in tx) return runOnClient(tx)
  }
  throw new PostcommitError('POSTCOMMIT_INVALID_OPTIONS', {
    function: 'add',
    reason: 'tx is neither a Kysely transaction nor a pg client',
  })
}

function isKysely(db: DatabaseLike): db is KyselyLike {
  return typeof db === 'object' && db !== null && 'transaction' in db && 'executeQuery' in db
}

function isPool(db: DatabaseLike): db is PoolLike {
  return typeof db === 'object' && db !== null && 'connect' in db && 'query' in db
}
