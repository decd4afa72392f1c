import type { Queryable } from '../queryable.ts'

/** When a gid that the caller chose was committed; undefined for gids that were drawn. Primary key of barrier. */
export async function selectGidClaim(client: Queryable, gid: string): Promise<Date | undefined> {
  const { rows } = await client.query<{ createdAt: Date }>({
    text: `select created_at as "createdAt" from postcommit.barrier where gid = $1 and branch = '' and op = 'commit'`,
    values: [gid],
  })
  return rows[0]?.createdAt
}
