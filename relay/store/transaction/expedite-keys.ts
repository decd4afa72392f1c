import type { Queryable } from '../queryable.ts'
import type { OrderedKey } from './expedite-heads.ts'
import type { TransactionKey } from './transaction-row.ts'

/**
 * Makes the messages of these keys due now that are decided and wait for an earlier one: called when that one was handed
 * over. Whichever of the two commits last sees what the other wrote; what both miss is due by itself after a second.
 *
 * Resolves to how many. Plan: Index Only Scan on prepared_key_pkey for each key, updates by primary key.
 */
export async function expediteFollowers(client: Queryable, keys: readonly OrderedKey[]): Promise<number> {
  const { rowCount } = await client.query({
    name: 'postcommit_expedite_followers',
    text: expedite(`unnest($1::text[], $2::text[]) as line (tenant, key)`),
    values: [keys.map(({ tenant }) => tenant), keys.map(({ key }) => key)],
  })
  return rowCount ?? 0
}

/** The same for those that wait behind messages that were given up, whose content is kept: it names their keys. */
export async function expediteFollowersOf(client: Queryable, decided: readonly TransactionKey[]): Promise<number> {
  const { rowCount } = await client.query({
    name: 'postcommit_expedite_followers_of',
    text: expedite(`unnest($1::text[], $2::text[]) as r (tenant, gid)
  join postcommit.global_transaction head on head.tenant = r.tenant and head.gid = r.gid and head.key is not null
  cross join lateral json_to_recordset(head.content::json) as line (key text)`),
    values: [decided.map(({ tenant }) => tenant), decided.map(({ gid }) => gid)],
  })
  return rowCount ?? 0
}

function expedite(lines: string): string {
  const tenant = lines.includes('head.tenant') ? 'head.tenant' : 'line.tenant'
  return `update postcommit.global_transaction t set due_at = statement_timestamp(), backoff_ms = null
from (
  select distinct p.transaction_id as id from ${lines}
  join postcommit.prepared_key p on p.tenant = ${tenant} and p.key = line.key
) follower
where t.id = follower.id and t.status = 'submitted' and t.content is not null and t.lease_token is null
  and t.paused_reason is null and t.due_at > statement_timestamp()`
}

/**
 * Has the undecided messages that these wait for asked about soon: once, not in their first second, and not before they
 * may be asked about, because the question closes the door on a transaction that has not begun.
 *
 * Plan: Index Only Scan on prepared_key_pkey for each key, up to the first; updates by primary key.
 */
export async function expediteUndecided(client: Queryable, waiting: readonly string[]): Promise<void> {
  await client.query({
    name: 'postcommit_expedite_undecided',
    text: `update postcommit.global_transaction t set due_at = head.soon, backoff_ms = null
from (
  select distinct on (earlier.id) earlier.id,
    greatest(statement_timestamp(), earlier.created_at + interval '1 second', earlier.ask_from) as soon
  from unnest($1::bigint[]) as r (id)
  join postcommit.global_transaction mine on mine.id = r.id
  cross join lateral json_to_recordset(mine.content::json) as line (key text)
  join postcommit.prepared_key p on p.tenant = mine.tenant and p.key = line.key and p.transaction_id < mine.id
  join postcommit.global_transaction earlier on earlier.id = p.transaction_id
  where earlier.status = 'prepared' and earlier.asked = 0
) head
where t.id = head.id and t.status = 'prepared' and t.lease_token is null and t.paused_reason is null
  and t.due_at > head.soon`,
    values: [waiting],
  })
}
