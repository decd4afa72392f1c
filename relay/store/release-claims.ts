import type { Queryable } from './queryable.ts'

/** Gives back claims that were not carried out; no attempt is counted. Primary key, and only where they still stand. */
export async function releaseClaims(
  client: Queryable,
  claims: readonly { readonly id: string; readonly token: string }[],
): Promise<void> {
  await client.query({
    text: `update postcommit.delivery d set lease_token = null, lease_owner = null, due_at = clock_timestamp()
from unnest($1::bigint[], $2::uuid[]) as claim (id, token) where d.id = claim.id and d.lease_token = claim.token`,
    values: [claims.map(({ id }) => id), claims.map(({ token }) => token)],
  })
}
