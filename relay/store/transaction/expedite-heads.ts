import type { Queryable } from '../queryable.ts'

/** Messages that are delivered one after the other. */
export interface OrderedKey {
  readonly tenant: string
  readonly key: string
}

/**
 * Makes the first unsettled message of each key due now: called when the one before it was settled, and when a message
 * has written that it waits behind it. Whichever of the two commits last sees what the other wrote, so nobody is left
 * behind by a head that was settled at the same moment. What is claimed is being looked at already.
 *
 * An undecided head is hurried only if somebody waits for it, once, not in its first second, and not before it may be
 * asked about: the question closes the door on a transaction that has not begun.
 *
 * Resolves to how many were not due before. Plan: Index Scan on global_transaction_head, stopped by LIMIT, per key.
 */
export async function expediteHeads(client: Queryable, keys: readonly OrderedKey[]): Promise<number> {
  const { rowCount } = await client.query({
    name: 'postcommit_expedite_heads',
    text: `update postcommit.global_transaction t set due_at = head.soon, backoff_ms = null
from (select distinct tenant, key from unnest($1::text[], $2::text[]) as r (tenant, key)) r
cross join lateral (
  select id, status, asked,
    case when status = 'prepared' then greatest(statement_timestamp(), created_at + interval '1 second', ask_from)
      else statement_timestamp() end as soon
  from postcommit.global_transaction
  where tenant = r.tenant and key = r.key and key is not null and finished_at is null order by id limit 1
) head
where t.id = head.id and t.finished_at is null and t.lease_token is null and t.paused_reason is null
  and t.due_at > head.soon and (head.status <> 'prepared' or head.asked = 0 and exists (
    select from postcommit.global_transaction waiting
    where waiting.tenant = r.tenant and waiting.key = r.key and waiting.key is not null
      and waiting.finished_at is null and waiting.id > head.id and waiting.status = 'submitted'
  ))`,
    values: [keys.map(({ tenant }) => tenant), keys.map(({ key }) => key)],
  })
  return rowCount ?? 0
}
