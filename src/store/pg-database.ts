import { PostcommitError } from '../protocol/errors.ts'
import { CommitFailure, type Database, type Rows, type Run, type TransactionOptions } from './database.ts'
import { isDatabaseVerdict } from './database-error.ts'
import { inlineValues } from './inline-values.ts'

/** What is used of a `pg.Pool`. */
export interface PoolLike {
  connect(callback: (error: Error | undefined, client: never) => void): void
  query(text: string, values?: unknown[]): Promise<unknown>
}

interface Result {
  readonly rows: Rows
  readonly command: string
}

interface Client {
  query(text: string, values?: readonly unknown[]): Promise<Result>
  release(destroy?: boolean): void
  on(event: 'error', listener: () => void): unknown
  off(event: 'error', listener: () => void): unknown
  getTransactionStatus?(): 'I' | 'T' | 'E' | null
}

/** A pg Pool as a {@link Database}. */
export function openPool(pool: PoolLike): Database<Client> {
  return {
    run: async ({ text, values }) => (await (pool as unknown as Client).query(text, values)).rows,
    noticesRollback: true,
    async transaction(work, options = {}) {
      const client = await checkOut(pool)
      let broken = true
      try {
        const value = await transact(client, work, options)
        broken = false
        return value
      } catch (error) {
        broken = await rollBack(client, error)
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

async function transact<T>(
  client: Client,
  work: (tx: Client, run: Run, opened: Rows) => Promise<T>,
  options: TransactionOptions,
): Promise<T> {
  const opened = await begin(client, options)
  const value = await work(client, async ({ text, values }) => (await client.query(text, values)).rows, opened)
  const { command } = await client.query('commit').catch((cause: unknown) => {
    // A verdict of the database at COMMIT (a deferred constraint, a serialization failure) is the user's to see.
    throw isDatabaseVerdict(cause) ? cause : new CommitFailure(false, cause)
  })
  // COMMIT of a failed transaction is answered ROLLBACK, and pg resolves that promise like any other.
  if (command !== 'COMMIT') throw new CommitFailure(true)
  return value
}

/**
 * Opens the transaction, together with its first statement if there is one: a text of two statements is one message
 * and one round trip (the simple protocol, which every client and pooler speaks), and what the second of them does is
 * part of the transaction that the first has opened. That protocol takes no parameters, so the values stand in the
 * text. With COMMIT's answer instead of a probe, the inbox went from 0.53 of a bare transaction to 0.69–0.79.
 */
async function begin(client: Client, { isolationLevel, opening }: TransactionOptions): Promise<Rows> {
  const text = isolationLevel === undefined ? 'begin' : `begin isolation level ${isolationLevel}`
  if (opening === undefined) {
    await client.query(text)
    return []
  }
  // Typed for one statement; for several, pg gives the result of each.
  const results: Result | readonly Result[] = await client.query(`${text}; ${inlineValues(opening)}`)
  const last = Array.isArray(results) ? (results as readonly Result[]).at(-1) : (results as Result)
  return last?.rows ?? []
}

/** Ends the transaction; resolves to whether the connection is of no further use. */
async function rollBack(client: Client, error: unknown): Promise<boolean> {
  if (error instanceof CommitFailure) return !error.rolledBack
  return await client.query('rollback').then(
    () => false,
    () => true,
  )
}

/** Statements in the transaction that is open on `client`. */
export async function runOnClient(client: object): Promise<Run> {
  const { query, getTransactionStatus } = client as Client
  if (typeof getTransactionStatus === 'function') {
    const status = getTransactionStatus.call(client)
    if (status === 'I') throw new PostcommitError('POSTCOMMIT_NOT_IN_TRANSACTION')
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
