import type { Gid } from '../protocol/gid.ts'
import type { Published } from './collected-message.ts'
import type { Statement } from './database.ts'

/**
 * Writes a message that is the only one of its transaction, under the same rules as `insertMessages`, and returns the
 * transaction's xid. The reasons and the figures stand above the function, in `migrations/0005-publish.sql`.
 */
export function publishMessage(gid: Gid, { branch, target, key, content, headers }: Published): Statement {
  return {
    text: 'select postcommit.publish($1, $2, $3, $4, $5, $6, $7)::text as xid',
    values: [gid, branch, target, key ?? null, content.text ?? null, content.bytes ?? null, headers ?? null],
  }
}
