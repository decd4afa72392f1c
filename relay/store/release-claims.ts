import type { Queryable } from './queryable.ts'

/**
 * Gives back every delivery that is still held under these claims: due now, no attempt counted. What has been settled,
 * taken over or given back before carries another token or none.
 *
 * Plan: Index Scan on delivery_owner, which holds the rows that are claimed at the moment and no others; there is no
 * index on the token, because it would cost every claim a write and serve only here.
 */
export async function releaseClaims(client: Queryable, tokens: readonly string[]): Promise<number> {
  const { rowCount } = await client.query({
    name: 'postcommit_release_claims',
    text: `update postcommit.delivery set lease_token = null, lease_owner = null, due_at = clock_timestamp()
where lease_owner is not null and lease_token = any($1::uuid[])`,
    values: [tokens],
  })
  return rowCount ?? 0
}
