import type { Queryable } from '../queryable.ts'

/**
 * Milliseconds until the next delivery of these destinations is due or the next claim of anything runs out; undefined if
 * there is neither. Indexes delivery_due, read past what is claimed, and claim_until.
 */
export async function selectNextDue(client: Queryable, destinations: readonly string[]): Promise<number | undefined> {
  const { rows } = await client.query<{ ms: number | null }>({
    name: 'postcommit_select_next_due',
    text: `select (extract(epoch from min(next.at) - clock_timestamp()) * 1000)::float8 as ms
from (
  select first.due_at as at from unnest($1::text[]) as served (destination) cross join lateral (
    select due_at from postcommit.delivery
    where destination = served.destination and state = 'pending' and lease_until is null order by due_at, id limit 1
  ) first
  union all
  (select until from postcommit.claim where until > statement_timestamp() order by until limit 1)
) next`,
    values: [destinations],
  })
  return rows[0]?.ms ?? undefined
}
