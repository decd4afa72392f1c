import type { Queryable } from '../queryable.ts'

/**
 * Counts the deliveries that each relay has claimed, by the relay's id. Apart from `selectRelays`, because it reads
 * `delivery`: while that table is locked, this count is unknown, and which relays run is still known.
 */
export async function countClaims(client: Queryable): Promise<ReadonlyMap<string, number>> {
  const { rows } = await client.query<{ relay: string; claims: number }>({
    text: `select c.relay, count(*)::int as claims
from postcommit.claim c cross join unnest(c.deliveries) as held (id)
join postcommit.delivery d on d.id = held.id and d.lease_token = c.token
group by c.relay`,
  })
  return new Map(rows.map(({ relay, claims }) => [relay, claims]))
}
