import type { Queryable } from '../queryable.ts'

/**
 * Makes due what waits for a subject or stream that takes messages again, oldest first and at most `limit` of them; resolves
 * to how many there were. Followers that are held behind a message of their key stay so.
 *
 * Plan: index delivery_withheld, stopped by LIMIT; the updates by primary key. SKIP LOCKED: what another relay is releasing
 * or settling is looked after. In batches, because one statement for a large backlog would hold all its locks at once.
 */
export async function releaseWithheld(client: Queryable, scope: string, limit: number): Promise<number> {
  const { rowCount } = await client.query({
    name: 'postcommit_release_withheld',
    text: `update postcommit.delivery d set withheld_by = null, due_at = least(d.due_at, clock_timestamp())
from (
  select id from postcommit.delivery
  where withheld_by = $1 and state in ('pending', 'held')
  order by id limit $2 for no key update skip locked
) waiting
where d.id = waiting.id`,
    values: [scope, limit],
  })
  return rowCount ?? 0
}
