import type { DeliveryState } from 'postcommit/protocol'
import type { Queryable } from '../queryable.ts'

/** A delivery with everything that tells why it is where it is. */
export interface InspectedDelivery {
  readonly id: string
  readonly branch: number
  readonly destination: string
  readonly target: string
  readonly key: string | null
  readonly state: DeliveryState
  readonly attempts: number
  readonly lastError: string | null
  readonly lastStatus: number | null
  /** The subject or stream for which it waits. */
  readonly withheldBy: string | null
  readonly payload: string | null
  /** Length of a binary body. */
  readonly bodyBytes: number | null
  readonly headers: string | null
  readonly createdAt: Date
  readonly settledAt: Date | null
  readonly ageMs: number
  /** Until it is due or, if it is claimed, until the claim runs out; negative if that is past. */
  readonly dueInMs: number
  /** The name of the relay that holds a claim on it. */
  readonly claimedBy: string | null
  /** The first unsettled message of its destination and key, if that is another one. */
  readonly headGid: string | null
  readonly headBranch: number | null
  readonly headState: DeliveryState | null
}

/** All deliveries of a gid. Index delivery_gid; one probe of delivery_head for each row that has a key. */
export async function selectDeliveriesOfGid(client: Queryable, gid: string): Promise<readonly InspectedDelivery[]> {
  const { rows } = await client.query<InspectedDelivery>({
    text: `select d.id, d.branch, d.destination, d.target, d.key, d.state, d.attempts,
  d.last_error as "lastError", d.last_status as "lastStatus", d.withheld_by as "withheldBy", d.payload, octet_length(d.body) as "bodyBytes", d.headers,
  d.created_at as "createdAt", d.settled_at as "settledAt",
  extract(epoch from clock_timestamp() - d.created_at)::float8 * 1000 as "ageMs",
  extract(epoch from greatest(d.due_at, d.lease_until) - clock_timestamp())::float8 * 1000 as "dueInMs",
  case when d.lease_token is not null then coalesce(r.name, 'relay ' || d.lease_owner) end as "claimedBy",
  head.gid as "headGid", head.branch as "headBranch", head.state as "headState"
from postcommit.delivery d
left join postcommit.relay r on r.id = d.lease_owner
left join lateral (
  select first.id, first.gid, first.branch, first.state from postcommit.delivery first
  where first.destination = d.destination and first.key = d.key and first.state in ('pending', 'held', 'dead')
  order by first.id limit 1
) head on d.state in ('pending', 'held') and head.id < d.id
where d.gid = $1 order by d.branch`,
    values: [gid],
  })
  return rows
}
