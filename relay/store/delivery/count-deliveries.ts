import type { DeliveryState } from 'postcommit/protocol'
import { BACKLOG_COUNT_MAX } from '../log/select-log-backlog.ts'
import type { Queryable } from '../queryable.ts'

/** How many deliveries of a destination are in a state that is not settled. */
export interface DeliveryCount {
  readonly destination: string
  readonly state: DeliveryState
  readonly count: number
  readonly oldestAgeMs: number
}

/**
 * Counts what is not settled, by destination and state, each state up to {@link BACKLOG_COUNT_MAX}.
 *
 * One scan for each state, because each has a partial index that holds nothing else: delivery_due, delivery_head (only
 * rows with a key are ever held), delivery_dead. A single `state in (…)` would read every confirmed row too.
 */
export async function countDeliveries(client: Queryable): Promise<readonly DeliveryCount[]> {
  const { rows } = await client.query<DeliveryCount>({
    text: `select destination, state, count(*)::int as count,
  extract(epoch from clock_timestamp() - min(created_at))::float8 * 1000 as "oldestAgeMs"
from (
  (select destination, state, created_at from postcommit.delivery where state = 'pending' limit ${BACKLOG_COUNT_MAX})
  union all
  (select destination, state, created_at from postcommit.delivery where state = 'held' and key is not null limit ${BACKLOG_COUNT_MAX})
  union all
  (select destination, state, created_at from postcommit.delivery where state = 'dead' limit ${BACKLOG_COUNT_MAX})
) unsettled
group by destination, state order by destination, state`,
  })
  return rows
}
