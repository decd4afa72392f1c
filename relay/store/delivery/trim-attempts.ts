import type { Queryable } from '../queryable.ts'

/** What is kept of the failed attempts of one message. */
export const ATTEMPTS_KEPT = 200

/**
 * Forgets the older failed attempts of messages, but for the newest and for what operators did: a message is tried for as
 * long as it takes, and each attempt leaves a row. Index attempt_delivery.
 */
export async function trimAttempts(client: Queryable, ids: readonly string[]): Promise<number> {
  const { rowCount } = await client.query({
    text: `delete from postcommit.attempt a using unnest($1::bigint[]) as message (id)
where a.delivery_id = message.id and a.event in ('failed', 'unavailable') and a.id <= (
  select b.id from postcommit.attempt b where b.delivery_id = message.id order by b.id desc offset ${ATTEMPTS_KEPT} limit 1
)`,
    values: [ids],
  })
  return rowCount ?? 0
}
