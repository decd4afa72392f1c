import type { Queryable } from '../queryable.ts'

/** A branch whose target is a topic, in a transaction that this relay has claimed. */
export interface FanOut {
  readonly id: string
  readonly token: string
  readonly tenant: string
  readonly branch: string
  readonly topic: string
  /** One after the other, in the order of subscription. */
  readonly sequential: boolean
}

/**
 * Replaces the call of a topic by one call for each of its subscriptions, as they are now: branches `01-01`, `01-02`
 * and so on, in the order of subscription, with what `01` would have been sent. `01` itself then calls nobody and waits
 * for them, so whoever waits for `01` waits for all of them, and a crash cannot lose some of them or double others.
 *
 * Resolves to how many there are; undefined if there is no such topic, or the claim no longer stands.
 *
 * Plan: Index Scans on global_transaction_pkey, branch_pkey and the primary key of topic; a sort of the subscriptions.
 */
export async function fanOutBranch(client: Queryable, { id, token, tenant, branch, topic, sequential }: FanOut) {
  const { rows } = await client.query<{ branches: number }>({
    name: 'postcommit_fan_out_branch',
    text: `with known as (
  select from postcommit.topic where tenant = $3 and name = $5
), named as materialized (
  select $4::text || '-' || case when row_number() over w < 100 then lpad((row_number() over w)::text, 2, '0')
    else (row_number() over w)::text end as branch, row_number() over w as n, target
  from postcommit.subscription where tenant = $3 and topic = $5 window w as (order by id)
), locked as (
  update postcommit.global_transaction t set op_count = t.op_count + (select count(*) from named), updated_at = clock_timestamp()
  where t.id = $1::bigint and t.lease_token = $2::uuid and exists (select from known)
  returning t.id, t.op_count
), replaced as (
  select b.* from postcommit.branch b join locked on b.transaction_id = locked.id
  where b.branch = $4 and b.op = 'action' and b.status = 'prepared'
), emptied as (
  update postcommit.branch b set target = '', after = array(select branch from named), updated_at = clock_timestamp()
  from replaced where b.transaction_id = replaced.transaction_id and b.branch = replaced.branch and b.op = replaced.op
), written as (
  insert into postcommit.branch (transaction_id, branch, op, place, target, payload, body, options, after, recovery)
  select replaced.transaction_id, named.branch, 'action', locked.op_count - (select count(*) from named) + named.n - 1,
    named.target, replaced.payload, replaced.body, replaced.options,
    case when $6::boolean and named.n > 1 then array[before.branch] else '{}' end, replaced.recovery
  from replaced cross join named cross join locked left join named before on before.n = named.n - 1
)
select (select count(*)::int from named) as branches from locked`,
    values: [id, token, tenant, branch, topic, sequential],
  })
  return rows[0]?.branches
}
