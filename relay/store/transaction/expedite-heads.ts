import type { Queryable } from '../queryable.ts'

/** Messages that are delivered one after the other. */
export interface OrderedKey {
  readonly tenant: string
  readonly key: string
}

/**
 * Makes the first unsettled message of each key due now: called when the one before it was settled, and when a message
 * was found behind it, for then somebody waits for its decision. What is claimed is being looked at already.
 *
 * Resolves to how many were not due before. Plan: Index Scan on global_transaction_head, stopped by LIMIT, per key.
 */
export async function expediteHeads(client: Queryable, keys: readonly OrderedKey[]): Promise<number> {
  const { rowCount } = await client.query({
    name: 'postcommit_expedite_heads',
    text: `update postcommit.global_transaction t set due_at = clock_timestamp(), backoff_ms = null
from (select distinct tenant, key from unnest($1::text[], $2::text[]) as r (tenant, key)) r
cross join lateral (
  select id from postcommit.global_transaction
  where tenant = r.tenant and key = r.key and key is not null and finished_at is null order by id limit 1
) head
where t.id = head.id and t.finished_at is null and t.lease_token is null and t.paused_reason is null
  and t.due_at > statement_timestamp()`,
    values: [keys.map(({ tenant }) => tenant), keys.map(({ key }) => key)],
  })
  return rowCount ?? 0
}
