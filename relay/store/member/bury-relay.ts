import type { Queryable } from '../queryable.ts'

/** What a dead relay left behind. */
export interface Estate {
  readonly shards: number
  readonly deliveries: number
  readonly transactions: number
}

/**
 * Takes everything from a dead relay at once: its row, its shards (a new epoch fences whatever it still sends), its
 * claims (a cleared token does the same), and claims of relays that are gone, which a claim under way at their burial
 * may have left. Indexes: primary keys; `claim` holds a row for each claim under way. Of the transactions all unfinished
 * ones are read, because an index on their owner would have to be written by every claim.
 */
export async function buryRelay(client: Queryable, relay: string): Promise<Estate> {
  const { rows } = await client.query<Estate>({
    text: `with gone as (
  delete from postcommit.relay where id = $1
), freed as (
  update postcommit.position set owner = null, epoch = epoch + 1 where owner = $1 returning 1
), claim as (
  delete from postcommit.claim c where c.relay = $1 or not exists (select from postcommit.relay r where r.id = c.relay)
  returning c.token, c.deliveries
), returned as (
  update postcommit.delivery d
  set lease_token = null, lease_owner = null, lease_until = null, due_at = clock_timestamp()
  from claim cross join lateral unnest(claim.deliveries) as held (id)
  where d.id = held.id and d.lease_token = claim.token returning 1
), passed as (
  update postcommit.global_transaction set lease_token = null, lease_owner = null, due_at = clock_timestamp()
  where lease_owner = $1 and (status in ('submitted', 'aborting') or status = 'prepared') returning 1
)
select (select count(*) from freed)::int as shards, (select count(*) from returned)::int as deliveries,
  (select count(*) from passed)::int as transactions`,
    values: [relay],
  })
  return rows[0] ?? { shards: 0, deliveries: 0, transactions: 0 }
}
