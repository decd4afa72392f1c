import { PostcommitError } from '../protocol/errors.ts'
import type { Database, Finish, Run } from './database.ts'
import { holdClient } from './hold-client.ts'
import { isUnopened, openTransaction, type PgClient, runOn } from './pg-transaction.ts'
import { nameSchemaMissing } from './schema-missing.ts'
import { selectTransactionFate } from './select-transaction-fate.ts'
import { EndedByWork } from './transaction-end.ts'

/** What is used of a `pg.Pool`. */
export interface PoolLike {
  connect(callback: (error: Error | undefined, client: never) => void): void
  query(text: string, values?: unknown[]): Promise<unknown>
}

interface Client extends PgClient {
  query(...args: never[]): Promise<never>
  release(destroy?: boolean): void
  on(event: 'error', listener: () => void): unknown
  off(event: 'error', listener: () => void): unknown
}

/** A pg Pool as a {@link Database}. */
export function openPool(pool: PoolLike): Database<Client> {
  const run: Run = async ({ text, values }) => {
    const result = await (pool as unknown as PgClient).query(text, values).catch((cause: unknown) => {
      throw nameSchemaMissing(cause)
    })
    return result.rows
  }
  return {
    run,
    survivesLoss: true,
    async transaction(work, options) {
      const client = await checkOut(pool)
      const held = holdClient(client, options.caller)
      const transaction = openTransaction(held.own, client, options)
      let broken = true
      try {
        const opened = await transaction.begin()
        const finish: Finish = async (statement) => {
          held.requireNothingRefused()
          return await transaction.finish(statement)
        }
        const value = await work(client, transaction.run, opened, finish)
        held.requireNothingRefused()
        await transaction.commit()
        broken = false
        return value
      } catch (error) {
        broken = await transaction.rollBack(error)
        if (error instanceof EndedByWork) throw error.named(await selectTransactionFate(run, transaction.xid()))
        throw error
      } finally {
        held.letGo()
        // A client that is thrown away may still hear that its session ends, and has no listener of the pool by then.
        if (!broken) client.off('error', ignore)
        client.release(broken)
      }
    },
  }
}

/**
 * Takes a connection out of the pool. One that dies while it is out emits 'error', and without a listener that ends
 * the process. The callback runs in the same turn in which the pool takes its own listener off; after `await
 * pool.connect()` it would be too late for a server that greets and says goodbye in one packet.
 */
function checkOut(pool: PoolLike): Promise<Client> {
  return new Promise((resolve, reject) => {
    pool.connect((error: Error | undefined, client: Client) => {
      if (error !== undefined && error !== null) return reject(error)
      client.on('error', ignore)
      resolve(client)
    })
  })
}

/** What tells a pg client, one of its own or one of a pool, from everything else that has a `query`. */
export interface PgClientLike {
  query(...args: never[]): unknown
  escapeLiteral(text: string): string
}

/** Whether it is a pg client, over the JavaScript or the native connection. */
export function isPgClient(value: object): value is PgClientLike {
  return 'query' in value && typeof value.query === 'function' && 'escapeLiteral' in value
}

/** Statements in the transaction that is open on `client`. */
export async function runOnClient(client: PgClientLike): Promise<Run> {
  const { query, getTransactionStatus } = client as unknown as PgClient
  if (typeof getTransactionStatus === 'function') {
    const status = getTransactionStatus.call(client)
    // BEGIN may be waiting for the first statement, which is the one that is about to come.
    if (status === 'I' && !isUnopened(client)) throw new PostcommitError('POSTCOMMIT_NOT_IN_TRANSACTION')
    if (status === 'E') throw new PostcommitError('POSTCOMMIT_TX_ABORTED')
  } else {
    // An older pg does not tell; a savepoint is refused outside a transaction (25P01).
    await query.call(client, 'savepoint postcommit_add').catch((cause: unknown) => {
      const code = typeof cause === 'object' && cause !== null && 'code' in cause ? cause.code : undefined
      if (code === '25P01') throw new PostcommitError('POSTCOMMIT_NOT_IN_TRANSACTION', {}, { cause })
      throw cause
    })
    await query.call(client, 'release savepoint postcommit_add')
  }
  return runOn(client as unknown as PgClient)
}

function ignore(): void {
  // The statement under way rejects with the same error; there is nothing more to do here.
}
