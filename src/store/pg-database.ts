import { PostcommitError } from '../protocol/errors.ts'
import type { Database, Run } from './database.ts'
import { isUnopened, openTransaction, type PgClient } from './pg-transaction.ts'

/** What is used of a `pg.Pool`. */
export interface PoolLike {
  connect(callback: (error: Error | undefined, client: never) => void): void
  query(text: string, values?: unknown[]): Promise<unknown>
}

interface Client extends PgClient {
  release(destroy?: boolean): void
  on(event: 'error', listener: () => void): unknown
  off(event: 'error', listener: () => void): unknown
}

/** A pg Pool as a {@link Database}. */
export function openPool(pool: PoolLike): Database<Client> {
  return {
    run: async ({ text, values }) => (await (pool as unknown as Client).query(text, values)).rows,
    noticesRollback: true,
    async transaction(work, options = {}) {
      const client = await checkOut(pool)
      const transaction = openTransaction(client, options)
      let broken = true
      try {
        const opened = await transaction.begin()
        const value = await work(client, transaction.run, opened, transaction.finish)
        await transaction.commit()
        broken = false
        return value
      } catch (error) {
        broken = await transaction.rollBack(error)
        throw error
      } finally {
        client.off('error', ignore)
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

/** Statements in the transaction that is open on `client`. */
export async function runOnClient(client: object): Promise<Run> {
  const { query, getTransactionStatus } = client as Client
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
  return async ({ text, values }) => (await query.call(client, text, values)).rows
}

function ignore(): void {
  // The statement under way rejects with the same error; there is nothing more to do here.
}
