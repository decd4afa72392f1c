import { PostcommitError } from '../protocol/errors.ts'
import type { Statement, TransactionIdentity } from './database.ts'
import { sqlState } from './database-error.ts'

let drawn = 0

/** An identity that no other transaction of this process has. Plain characters, because it stands in a statement's text. */
export function drawIdentity(): TransactionIdentity {
  drawn += 1
  return `${Math.trunc(Math.random() * 2 ** 48).toString(36)}-${drawn.toString(36)}`
}

/** Gives the open transaction its identity. A utility statement: it takes no snapshot, so SET TRANSACTION may follow. */
export function setIdentity(identity: TransactionIdentity): string {
  return `set local postcommit.transaction = '${identity}'`
}

/** As {@link setIdentity}, together with the xid, where the transaction takes its snapshot anyway. */
export function drawXidWithIdentity(identity: TransactionIdentity): Statement<never> {
  return {
    text: `select pg_current_xact_id(), set_config('postcommit.transaction', '${identity}', true)`,
    values: [],
  }
}

/**
 * The last statement of a transaction that writes no messages: it fails in any other transaction, in none, and in one that
 * has failed unnoticed (25P02). Its row is the xid of the transaction, null if that has written nothing.
 */
export function assertTransaction(identity: TransactionIdentity | undefined): Statement<string | null> {
  return { text: 'select postcommit.assert_transaction($1)::text as xid', values: [identity ?? null] }
}

/** The SQLSTATE with which the functions of the schema refuse another transaction than the one that was opened. */
const OTHER_TRANSACTION = 'PC001'

/** Whether the database has refused a statement because its transaction has ended. */
export function isOtherTransaction(error: unknown): boolean {
  return sqlState(error) === OTHER_TRANSACTION
}

/** Statements that begin or end a transaction, behind plain comments. ROLLBACK TO, SAVEPOINT and RELEASE are none. */
const CONTROL =
  /^(?:[\s;]|--[^\n]*\n|\/\*[^*]*\*\/)*(begin|start\s+transaction|commit|end|abort|prepare\s+transaction|rollback(?!\s+(?:(?:work|transaction)\s+)?to\b))\b/i

/** Which statement of transaction control a text begins with; undefined: none. */
export function transactionControlIn(text: unknown): string | undefined {
  // One regular expression for every statement of the work: it ends at the first word.
  return typeof text === 'string' ? CONTROL.exec(text)?.[1]?.toUpperCase() : undefined
}

/** The refusal of a statement that would end the transaction it runs in. */
export function refuseControl(statement: string, caller: string): PostcommitError<'POSTCOMMIT_TX_CONTROL'> {
  return new PostcommitError('POSTCOMMIT_TX_CONTROL', { statement, function: caller })
}

/** What became of the transaction that the work has ended, as far as it is known. */
export type Fate = 'committed' | 'aborted' | 'unknown'

const FATES: Readonly<Record<Fate, string>> = {
  committed: 'it was committed, and what the work wrote stands without what was to follow it',
  aborted: 'it was rolled back, and nothing that the work wrote before stands',
  unknown: 'if it was committed, what the work wrote stands without what was to follow it',
}

/** The error for a transaction that the work has ended. */
export function transactionEnded(caller: string, fate: Fate, cause: unknown): PostcommitError<'POSTCOMMIT_TX_ENDED'> {
  return new PostcommitError('POSTCOMMIT_TX_ENDED', { function: caller, reason: FATES[fate] }, { cause })
}
