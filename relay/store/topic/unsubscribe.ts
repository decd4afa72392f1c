import type { Queryable } from '../queryable.ts'

/** What became of an unsubscription; `version` is the topic's new one. */
export type Unsubscribed =
  | { readonly kind: 'removed'; readonly version: string }
  | { readonly kind: 'no-such-topic' | 'topic-is-empty' | 'no-such-target' }

/**
 * Removes a target from a topic, which stays, empty if need be: its version goes on rising. Messages that run later do
 * not reach the target any more. Primary key, unique (tenant, topic, target).
 */
export async function unsubscribe(
  client: Queryable,
  tenant: string,
  topic: string,
  target: string,
): Promise<Unsubscribed> {
  const { rows } = await client.query<{ version: string | null; targets: number | null }>({
    text: `with removed as (
  delete from postcommit.subscription where tenant = $1 and topic = $2 and target = $3 returning id
), raised as (
  update postcommit.topic set version = version + 1, updated_at = clock_timestamp()
  where tenant = $1 and name = $2 and exists (select from removed) returning version
)
select (select version from raised) as version, (
  select count(target)::int from postcommit.topic t
  left join postcommit.subscription s on s.tenant = t.tenant and s.topic = t.name
  where t.tenant = $1 and t.name = $2 group by t.name
) as targets`,
    values: [tenant, topic, target],
  })
  const { version, targets } = rows[0] ?? { version: null, targets: null }
  if (version !== null) return { kind: 'removed', version }
  if (targets === null) return { kind: 'no-such-topic' }
  return { kind: targets === 0 ? 'topic-is-empty' : 'no-such-target' }
}
