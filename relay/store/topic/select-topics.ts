import type { Queryable } from '../queryable.ts'

/** A topic with everything it stands for. */
export interface Topic {
  readonly id: string
  readonly name: string
  readonly version: string
  readonly createdAt: Date
  readonly updatedAt: Date
  /** In the order in which they were added. */
  readonly targets: readonly { readonly target: string; readonly remark: string }[]
}

/** Which topics of a tenant. */
export interface TopicFilter {
  /** Undefined: all of them, a page at a time, newest first. */
  readonly names?: readonly string[]
  readonly before?: string
  readonly limit: number
}

/**
 * Reads topics, with their targets as they are now: what a branch reads when it runs. Index Scans on topic_pkey for
 * names, on topic_id_key for pages; on the unique key of subscription for each.
 */
export async function selectTopics(
  client: Queryable,
  tenant: string,
  { names, before, limit }: TopicFilter,
): Promise<readonly Topic[]> {
  const { rows } = await client.query<Topic>({
    text: `select t.id, t.name, t.version, t.created_at as "createdAt", t.updated_at as "updatedAt", coalesce((
  select json_agg(json_build_object('target', s.target, 'remark', s.remark) order by s.id)
  from postcommit.subscription s where s.tenant = t.tenant and s.topic = t.name
), '[]') as targets
from postcommit.topic t
where t.tenant = $1 and ($2::text[] is null or t.name = any($2)) and ($3::bigint is null or t.id < $3)
order by t.id desc limit $4`,
    values: [tenant, names ?? null, before ?? null, limit],
  })
  return rows
}
