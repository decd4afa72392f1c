import type { Queryable } from '../queryable.ts'

/** Removes a topic with its subscriptions; resolves to whether there was one. Primary key. */
export async function deleteTopic(client: Queryable, tenant: string, name: string): Promise<boolean> {
  const { rowCount } = await client.query({
    text: 'delete from postcommit.topic where tenant = $1 and name = $2',
    values: [tenant, name],
  })
  return rowCount === 1
}
