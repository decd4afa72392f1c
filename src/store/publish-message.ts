import type { Gid } from '../protocol/gid.ts'
import type { Published } from './collected-message.ts'
import type { Statement, TransactionIdentity } from './database.ts'

/**
 * Writes a message that is the only one of its transaction, under the same rules as `insertMessages`, and returns the
 * transaction's xid. The reasons and the figures stand above the functions, in `migrations/0005-publish.sql` and
 * `migrations/0012-write-messages.sql`.
 */
export function publishMessage(gid: Gid, message: Published, identity: TransactionIdentity | undefined): Statement {
  const { branch, target, key, content, headers } = message
  return {
    text: 'select postcommit.write_message($1, $2, $3, $4, $5, $6, $7, $8)::text as xid',
    values: [
      identity ?? null,
      gid,
      branch,
      target,
      key ?? null,
      content.text ?? null,
      content.bytes ?? null,
      headers ?? null,
    ],
  }
}
