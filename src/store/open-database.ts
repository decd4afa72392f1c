import { PostcommitError } from '../protocol/errors.ts'
import type { Database, Run } from './database.ts'
import { type KyselyLike, openKysely, runOnKysely } from './kysely-database.ts'
import { isPgClient, openPool, type PoolLike, runOnClient } from './pg-database.ts'

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
 * @throws `POSTCOMMIT_INVALID_OPTIONS` if it is neither a Kysely instance nor a pg Pool; also for a single pg client and
 * for a Kysely transaction, on which no transaction of its own can be opened for each call.
 */
export function openDatabase<Db extends DatabaseLike>(db: Db, caller: string): Database<TransactionOf<Db>> {
  const refused = reasonAgainst(db)
  if (refused !== undefined)
    throw new PostcommitError('POSTCOMMIT_INVALID_OPTIONS', { function: caller, reason: refused })
  // Two shapes, one interface: what `TransactionOf` reads from the type is what the adapter hands out at run time.
  if (isKysely(db)) return openKysely(db) as Database<TransactionOf<Db>>
  if (isPool(db)) return openPool(db) as Database<TransactionOf<Db>>
  throw new PostcommitError('POSTCOMMIT_INVALID_OPTIONS', {
    function: caller,
    reason: 'db is neither a Kysely instance nor a pg Pool',
  })
}

function reasonAgainst(db: DatabaseLike): string | undefined {
  if (typeof db !== 'object' || db === null) return undefined
  if (isPgClient(db)) {
    return 'db is a pg Client, and each call needs a connection of its own; give it a pg Pool (to write messages into a transaction that is open on this client, use outbox.add(client, …))'
  }
  if ('isTransaction' in db && db.isTransaction === true) {
    return 'db is a Kysely transaction; give it the Kysely instance (to write messages into this transaction, use outbox.add(tx, …))'
  }
  return undefined
}

const NO_TRANSACTION = `tx is neither a Kysely transaction nor a pg client. Of an ORM, give it the pg client that the \
transaction runs on (TypeORM: await manager.queryRunner.connect(); Drizzle: the client that drizzle(client) was made \
with), or let outbox.commit() open the transaction and hand its tx to the ORM: drizzle(tx)`

/**
 * Statements inside a transaction that somebody else opened.
 * @param caller - the function of the SDK that was handed it
 * @throws `POSTCOMMIT_NOT_IN_TRANSACTION` if none is open there, `POSTCOMMIT_TX_ABORTED` if it has failed.
 */
export async function runInside(tx: unknown, caller: string): Promise<Run> {
  if (typeof tx === 'object' && tx !== null) {
    if ('executeQuery' in tx) return runOnKysely(tx)
    if (isPgClient(tx)) return runOnClient(tx)
  }
  throw new PostcommitError('POSTCOMMIT_INVALID_OPTIONS', { function: caller, reason: NO_TRANSACTION })
}

function isKysely(db: DatabaseLike): db is KyselyLike {
  return typeof db === 'object' && db !== null && 'transaction' in db && 'executeQuery' in db
}

function isPool(db: DatabaseLike): db is PoolLike {
  return typeof db === 'object' && db !== null && 'connect' in db && 'query' in db
}
