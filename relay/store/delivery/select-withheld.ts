import type { Queryable } from '../queryable.ts'

/**
 * The subjects and streams for which deliveries wait, at most `limit` of them. A loose scan: one probe of delivery_withheld
 * for each, however many wait; a `distinct` would read all of them every time.
 */
export async function selectWithheld(client: Queryable, limit: number): Promise<readonly string[]> {
  const { rows } = await client.query<{ scope: string }>({
    name: 'postcommit_select_withheld',
    text: `with recursive waiting as (
  (
    select withheld_by as scope from postcommit.delivery
    where withheld_by is not null and state in ('pending', 'held') order by withheld_by limit 1
  )
  union all
  select next.scope from waiting cross join lateral (
    select withheld_by as scope from postcommit.delivery
    where withheld_by > waiting.scope and state in ('pending', 'held') order by withheld_by limit 1
  ) next
)
select scope from waiting limit $1`,
    values: [limit],
  })
  return rows.map(({ scope }) => scope)
}
