import type { Queryable } from '../queryable.ts'

/** A target that a topic stands for. */
export interface TopicSubscription {
  readonly tenant: string
  readonly topic: string
  readonly target: string
  readonly remark: string
}

/**
 * Adds a target to a topic, which is made if it is not there. Resolves to the topic's new version, undefined if the
 * target was subscribed already. The insert or update of the topic comes first and locks it, so that subscriptions of
 * one topic go one after the other, and each has a version of its own. Primary key, unique (tenant, topic, target).
 *
 * `where not exists` sees the snapshot, which is older than the lock: of two that add the same target at the same time
 * the second raises the version for nothing. Only the order of versions has a meaning.
 */
export async function subscribe(client: Queryable, subscription: TopicSubscription): Promise<string | undefined> {
  const { tenant, topic, target, remark } = subscription
  const { rows } = await client.query<{ version: string }>({
    text: `with topic as (
  insert into postcommit.topic as t (tenant, name) values ($1, $2)
  on conflict (tenant, name) do update set version = t.version + 1, updated_at = clock_timestamp()
    where not exists (select from postcommit.subscription where tenant = $1 and topic = $2 and target = $3)
  returning version
), added as (
  insert into postcommit.subscription (tenant, topic, target, remark)
  select $1, $2, $3, $4 from topic
  on conflict (tenant, topic, target) do nothing returning id
)
select version from topic where exists (select from added)`,
    values: [tenant, topic, target, remark],
  })
  return rows[0]?.version
}
