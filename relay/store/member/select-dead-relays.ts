import type { Queryable } from '../queryable.ts'
import { RELAY_LOCK_CLASS } from './insert-relay.ts'

/**
 * Relays that are gone: their advisory lock is free (the process died, PostgreSQL noticed its socket) or their lease
 * ran out (stopped, starved, cut off). The lock that is tried here is given back in the same statement's successor;
 * see {@link buryRelay}. A handful of rows.
 */
export async function selectDeadRelays(
  client: Queryable,
  self: string,
): Promise<readonly { readonly id: string; readonly name: string; readonly locked: boolean }[]> {
  const { rows } = await client.query<{ id: string; name: string; expired: boolean; locked: boolean }>({
    name: 'postcommit_select_dead_relays',
    text: `select id, name, lease_until < clock_timestamp() as expired,
  pg_try_advisory_lock(${RELAY_LOCK_CLASS}, id::int) as locked
from postcommit.relay where id <> $1`,
    values: [self],
  })
  return rows.filter(({ expired, locked }) => expired || locked)
}
