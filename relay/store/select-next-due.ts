import type { Queryable } from './queryable.ts'

/** Milliseconds until the next delivery of these destinations is due; undefined if none is waiting. Index delivery_due. */
export async function selectNextDue(client: Queryable, destinations: readonly string[]): Promise<number | undefined> {
  const { rows } = await client.query<{ ms: number | null }>({
    name: 'postcommit_select_next_due',
    text: `select (extract(epoch from min(next.due_at) - clock_timestamp()) * 1000)::float8 as ms
from unnest($1::text[]) as served (destination) cross join lateral (
  select due_at from postcommit.delivery
  where destination = served.destination and state = 'pending' order by due_at, id limit 1
) next`,
    values: [destinations],
  })
  return rows[0]?.ms ?? undefined
}
