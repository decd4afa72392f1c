import type { Queryable } from '../queryable.ts'

// Of a hash of its own, so that no name meets the locks of keys.
const LOCK_SEED = '8107365745'

/**
 * Makes this session the one that applies the entries of an outbox, until it ends; resolves to whether it is. The batches
 * are written in the same session: who has lost the lock cannot commit any more.
 */
export async function lockOutbox(client: Queryable, name: string): Promise<boolean> {
  const { rows } = await client.query<{ readonly locked: boolean }>({
    text: `select pg_try_advisory_lock(hashtextextended($1, ${LOCK_SEED})) as locked`,
    values: [name],
  })
  return rows[0]?.locked === true
}
