import type { Queryable } from './queryable.ts'

/**
 * Releases held rows that have no unsettled row before them. The usual release is part of settling the head; it can
 * miss a row that another relay marks as held at the same moment, and this finds it.
 *
 * Plan: delivery_head for the first unsettled row of each destination and key that has a held one.
 */
export async function releaseHeld(client: Queryable): Promise<number> {
  const { rowCount } = await client.query({
    name: 'postcommit_release_held',
    text: `update postcommit.delivery set state = 'pending', due_at = clock_timestamp()
where state = 'held' and id in (
  select min(id) from postcommit.delivery
  where key is not null and state in ('pending', 'held', 'dead') group by destination, key
)`,
  })
  return rowCount ?? 0
}
