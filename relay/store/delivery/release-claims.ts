import type { Queryable } from '../queryable.ts'

/**
 * Gives back every delivery that is still held under these claims: due now, no attempt counted. What has been settled,
 * taken over or given back before carries another token or none.
 *
 * Plan: Index Scan on claim's primary key, then delivery's. There is no index on the token of a delivery, because it
 * would cost every claim a write to all indexes and serve only here.
 */
export async function releaseClaims(client: Queryable, tokens: readonly string[]): Promise<number> {
  const { rowCount } = await client.query({
    name: 'postcommit_release_claims',
    text: `with claim as (
  delete from postcommit.claim where token = any($1::uuid[]) returning token, deliveries
)
update postcommit.delivery d set lease_token = null, lease_owner = null, lease_until = null, due_at = clock_timestamp()
from claim cross join lateral unnest(claim.deliveries) as held (id)
where d.id = held.id and d.lease_token = claim.token`,
    values: [tokens],
  })
  return rowCount ?? 0
}
