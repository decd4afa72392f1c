import type { Gid } from '../protocol/gid.ts'
import { type ArrayItem, arrayLiteral } from './array-literal.ts'
import type { CollectedMessage } from './collected-message.ts'
import type { Statement, TransactionIdentity } from './database.ts'

/**
 * Writes every message of a transaction in one statement and returns the transaction's xid. What it does in which order,
 * and what breaks otherwise, stands above the function, in `migrations/0012-write-messages.sql`.
 *
 * It must be the last statement before COMMIT: it holds the key locks until then. In a transaction that has failed
 * unnoticed it fails loudly (25P02), and in another one than `identity` as well.
 *
 * A transaction with one message to publish is written by `publishMessage` instead.
 */
export function insertMessages(
  gid: Gid,
  messages: readonly CollectedMessage[],
  identity: TransactionIdentity | undefined,
): Statement {
  const column = (value: (message: CollectedMessage) => ArrayItem | undefined): string =>
    arrayLiteral(messages.map((message) => value(message) ?? null))
  const dueOf = (message: CollectedMessage) => (message.kind === 'delivery' ? message.due : undefined)
  return {
    text: `select postcommit.write_messages($1, array_fill($2::text, array[cardinality($3::int[])]), $3::int[], $4::text[],
  $5::text[], $6::text[], $7::text[], $8::text[], $9::bytea[], $10::float8[], $11::timestamptz[])::text as xid`,
    values: [
      identity ?? null,
      gid,
      column((message) => message.branch),
      column((message) => (message.kind === 'delivery' ? message.destination : undefined)),
      column((message) => message.target),
      column((message) => message.key),
      column((message) => message.headers),
      column((message) => message.content.text),
      column((message) => message.content.bytes),
      column((message) => dueOf(message)?.delayMs),
      column((message) => dueOf(message)?.at),
    ],
  }
}
