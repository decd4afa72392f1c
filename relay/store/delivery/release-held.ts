import type { Queryable } from '../queryable.ts'

/**
 * Releases held rows that have no unsettled row before them, and resolves to how many there were.
 *
 * In the normal course there are none: a row becomes held under a lock on its predecessor (`claimDue`), and whoever
 * settles that one releases the row in the same transaction (`releaseSuccessors`). This mends what was done by other
 * means: a head that was deleted or changed by hand, a discard whose process died half way.
 *
 * Plan: a loose scan, one probe of delivery_held for each key that has held rows and one of delivery_head for its
 * predecessor. 100,000 held rows behind 2,000 keys, 100,000 pending ones: 37 ms; a `group by` over all unsettled rows:
 * 450 ms.
 */
export async function releaseHeld(client: Queryable): Promise<number> {
  const { rowCount } = await client.query({
    name: 'postcommit_release_held',
    text: `with recursive foremost as (
  (
    select destination, key, id from postcommit.delivery where state = 'held' order by destination, key, id limit 1
  )
  union all
  select next.* from foremost cross join lateral (
    select destination, key, id from postcommit.delivery
    where state = 'held' and (destination, key) > (foremost.destination, foremost.key)
    order by destination, key, id limit 1
  ) next
)
update postcommit.delivery d set state = 'pending'
from foremost
where d.id = foremost.id and d.state = 'held' and not exists (
  select from postcommit.delivery earlier
  where earlier.destination = foremost.destination and earlier.key = foremost.key and earlier.id < foremost.id
    and earlier.state in ('pending', 'held', 'dead')
)`,
  })
  return rowCount ?? 0
}
