import type { Queryable } from './queryable.ts'
import { BACKLOG_COUNT_MAX } from './select-log-backlog.ts'

/** What waits for one destination. */
export interface DeliveryBacklog {
  readonly destination: string
  /** Pending and held. */
  readonly waiting: number
  readonly dead: number
  /** Seconds since the oldest waiting one was inserted; 0 if none waits. */
  readonly oldestAgeSeconds: number
}

/** Unsettled deliveries by destination, counted to a limit. Indexes delivery_due, delivery_head, delivery_dead. */
export async function selectDeliveryBacklog(client: Queryable): Promise<readonly DeliveryBacklog[]> {
  const { rows } = await client.query<DeliveryBacklog>({
    text: `select destination, count(*) filter (where state <> 'dead')::int as waiting,
  count(*) filter (where state = 'dead')::int as dead,
  coalesce(extract(epoch from clock_timestamp() - min(created_at) filter (where state <> 'dead')), 0)::float8
    as "oldestAgeSeconds"
from (
  select destination, state, created_at from postcommit.delivery
  where state in ('pending', 'held', 'dead') limit ${BACKLOG_COUNT_MAX}
) open
group by destination`,
  })
  return rows
}
