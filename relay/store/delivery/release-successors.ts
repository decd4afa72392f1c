import type { Queryable } from '../queryable.ts'

/** What orders deliveries among each other. */
export interface OrderingKey {
  readonly destination: string
  readonly key: string
}

/**
 * Lets the next delivery of each key go, if it is held. Its due time stays: it was due when it became held, and among
 * the deliveries of other keys it should stand where it stood.
 *
 * Must be a statement of its own, after the one that settles the heads: that one works on a snapshot in which a
 * successor that was committed, or became held, during its run cannot be seen. Run both in one transaction, or a crash
 * in between leaves the successors to {@link releaseHeld}.
 *
 * Plan: for each key the first entry of delivery_head, then the primary key; 0.03 ms a key. `is not distinct from` says
 * `=` in a way that does not fit the condition of delivery_held: while the statistics know of no held rows, a plan that
 * begins with all of them looks cheapest, and takes 1.4 s for 50 keys once there are 4,000.
 */
export async function releaseSuccessors(client: Queryable, keys: readonly OrderingKey[]): Promise<void> {
  await client.query({
    name: 'postcommit_release_successors',
    text: `update postcommit.delivery d set state = 'pending'
from unnest($1::text[], $2::text[]) as settled (destination, key) cross join lateral (
  select id from postcommit.delivery next
  where next.destination = settled.destination and next.key = settled.key and next.state in ('pending', 'held', 'dead')
  order by next.id limit 1
) successor
where d.id = successor.id and d.state is not distinct from 'held'`,
    values: [keys.map(({ destination }) => destination), keys.map(({ key }) => key)],
  })
}
