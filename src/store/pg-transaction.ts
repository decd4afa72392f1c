import type { TransactionIdentity } from './database.ts'
import {
  CommitFailure,
  type Finish,
  finishWith,
  type Rows,
  type Run,
  type Statement,
  type TransactionOptions,
} from './database.ts'
import { isDatabaseVerdict } from './database-error.ts'
import { inlineValues } from './inline-values.ts'
import { nameSchemaMissing } from './schema-missing.ts'
import { type AheadValue, type Connection, sendAhead } from './send-ahead.ts'
import { nameEnd } from './transaction-end.ts'
import { assertTransaction, drawIdentity, drawXidWithIdentity, setIdentity } from './transaction-identity.ts'

interface Result {
  readonly rows: Rows
  readonly command: string
}

/** What is used of a pg client. */
export interface PgClient {
  query(
    text: string | { readonly text: string; readonly queryMode: string },
    values?: readonly unknown[],
  ): Promise<Result>
  getTransactionStatus?(): 'I' | 'T' | 'E' | null
  readonly readyForQuery?: boolean
  readonly pipeline?: boolean
  readonly connection?: Connection
}

/** A transaction on a client that nobody else uses. */
export interface PgTransaction {
  readonly run: Run
  readonly finish: Finish
  /** Resolves to the rows of the opening statement. */
  begin(): Promise<Rows>
  commit(): Promise<void>
  /** The xid, as far as it was drawn with BEGIN. */
  xid(): string | undefined
  /** Ends the transaction; resolves to whether the connection is of no further use. */
  rollBack(error: unknown): Promise<boolean>
}

const COMMIT = 'commit'

// Statements that take a snapshot themselves. Of others (SET TRANSACTION, LOCK) some must come before the first one,
// and drawing an xid takes one.
const TAKES_SNAPSHOT = /^\s*(?:select|insert|update|delete|with|merge|values)\b/i

/** Clients whose BEGIN waits for the first statement. */
const unopened = new WeakSet<object>()

/** Whether the transaction of a client will be opened by its next statement. */
export function isUnopened(client: object): boolean {
  return unopened.has(client)
}

/**
 * The transaction in as few round trips as can be: BEGIN goes with the first statement and the last one with COMMIT,
 * over a client that lets itself be used so: a transaction of three statements and a message is four round trips and
 * not six, and keeps 0.74 of the rate it has without the message instead of 0.66 where the processors are the limit.
 *
 * A statement that writes goes with COMMIT only if the xid is known by then, drawn together with BEGIN: a connection that
 * dies with both under way would otherwise take along what tells whether the transaction committed.
 */
export function openTransaction(client: PgClient, key: object, options: TransactionOptions): PgTransaction {
  const identity = drawIdentity()
  const run = Object.assign(runOn(client), { identity })
  const isAhead = options.opening === undefined && options.sendAhead !== false
  const connection = isAhead ? idleConnection(client) : undefined
  let takeBackBegin: () => boolean = () => false
  let xid: string | undefined
  let last: Statement<AheadValue> | undefined = assertTransaction(identity)
  const named = (cause: unknown): never => {
    throw nameEnd(cause, options)
  }

  return {
    run,
    async begin() {
      if (connection === undefined) return await begin(client, options, identity)
      unopened.add(key)
      takeBackBegin = sendAhead(connection, {
        inFrontOf: () => true,
        statements(text) {
          unopened.delete(key)
          const isXidFirst = options.xidFirst === true && TAKES_SNAPSHOT.test(text ?? '')
          const second = isXidFirst ? drawXidWithIdentity(identity) : { text: setIdentity(identity), values: [] }
          return [{ text: beginText(options), values: [] }, second]
        },
        onValue: (value) => {
          xid = value
        },
        // What the work may run next would run outside of any transaction.
        onError: () => connection.stream.destroy(),
      })
      return []
    },
    async finish(statement) {
      if (xid === undefined || !canGoAhead(statement)) {
        last = undefined
        return await finishWith(run)(statement).catch(named)
      }
      last = statement
      return xid
    },
    xid: () => xid,
    commit: async () => {
      if (connection !== undefined && last !== undefined) return await commitWith(client, connection, last).catch(named)
      if (last !== undefined) await run(last).catch(named)
      await commit(client, COMMIT, (cause) => !isDatabaseVerdict(cause))
    },
    async rollBack(error) {
      unopened.delete(key)
      if (takeBackBegin()) return false
      if (error instanceof CommitFailure) return !error.rolledBack
      return await client.query('rollback').then(
        () => false,
        () => true,
      )
    },
  }
}

/** Statements on a client. */
export function runOn(client: PgClient): Run {
  return async ({ text, values }: Statement): Promise<Rows> => {
    const { rows } = await client.query(text, values).catch((cause: unknown) => {
      throw nameSchemaMissing(cause)
    })
    return rows
  }
}

/**
 * The connection of a client that has nothing under way and can carry more than one statement at a time. Not if it
 * does so anyway (`pipeline`): there the answers to the statements before are still to come.
 */
function idleConnection(client: PgClient): Connection | undefined {
  const { readyForQuery, pipeline, connection } = client
  if (client.getTransactionStatus?.() !== 'I' || readyForQuery !== true || pipeline === true) return undefined
  return connection !== undefined && isConnection(connection) ? connection : undefined
}

function isConnection(connection: Connection): boolean {
  const methods = ['parse', 'bind', 'query', 'execute', 'sync', 'emit'] as const
  const { stream } = connection
  const canBeCut = typeof stream === 'object' && stream !== null && typeof stream.destroy === 'function'
  return canBeCut && methods.every((name) => typeof connection[name] === 'function')
}

function canGoAhead(statement: Statement): statement is Statement<AheadValue> {
  return statement.values.every(
    (value) => value === null || typeof value === 'string' || typeof value === 'number' || Buffer.isBuffer(value),
  )
}

async function commitWith(client: PgClient, connection: Connection, last: Statement<AheadValue>): Promise<void> {
  const takeBack = sendAhead(connection, {
    inFrontOf: (text) => text === COMMIT,
    statements: () => [last],
  })
  // What never went out is not in doubt. All else is as for COMMIT alone, also where the error came before the answer
  // to the last statement: a pooler that loses its server says so by an error of its own, and COMMIT may have happened.
  await commit(client, { text: COMMIT, queryMode: 'extended' }, (cause) => !takeBack() && !isDatabaseVerdict(cause))
}

/** @param leavesOpen - whether COMMIT may have happened although it was rejected with this */
async function commit(
  client: PgClient,
  query: Parameters<PgClient['query']>[0],
  leavesOpen: (cause: unknown) => boolean,
): Promise<void> {
  const { command } = await client.query(query).catch((cause: unknown) => {
    // A verdict of the database at COMMIT (a deferred constraint, a serialization failure) is the user's to see.
    throw leavesOpen(cause) ? new CommitFailure(false, cause) : cause
  })
  // COMMIT of a failed transaction is answered ROLLBACK, and pg resolves that promise like any other.
  if (command !== 'COMMIT') throw new CommitFailure(true)
}

/**
 * Opens the transaction, together with its first statement if there is one: a text of two statements is one message
 * and one round trip (the simple protocol, which every client and pooler speaks), and what the second of them does is
 * part of the transaction that the first has opened. That protocol takes no parameters, so the values stand in the
 * text. With COMMIT's answer instead of a probe, the inbox went from 0.53 of a bare transaction to 0.69–0.79.
 */
async function begin(client: PgClient, options: TransactionOptions, identity: TransactionIdentity): Promise<Rows> {
  const { opening } = options
  const text = `${beginText(options)}; ${setIdentity(identity)}`
  if (opening === undefined) {
    await client.query(text)
    return []
  }
  // Typed for one statement; for several, pg gives the result of each.
  const sent = client.query(`${text}; ${inlineValues(opening)}`)
  const results: Result | readonly Result[] = await sent.catch((cause: unknown) => {
    throw nameSchemaMissing(cause)
  })
  const last = Array.isArray(results) ? (results as readonly Result[]).at(-1) : (results as Result)
  return last?.rows ?? []
}

function beginText({ isolationLevel }: TransactionOptions): string {
  return isolationLevel === undefined ? 'begin' : `begin isolation level ${isolationLevel}`
}
