import type { Queryable } from '../queryable.ts'

/**
 * Removes a topic with its subscriptions; resolves to whether there was one. With a `version`, only if it is still at
 * that: whoever deletes has seen what they delete. Primary key.
 */
export async function deleteTopic(client: Queryable, tenant: string, name: string, version?: string): Promise<boolean> {
  const { rowCount } = await client.query({
    text: 'delete from postcommit.topic where tenant = $1 and name = $2 and ($3::bigint is null or version = $3)',
    values: [tenant, name, version ?? null],
  })
  return rowCount === 1
}
