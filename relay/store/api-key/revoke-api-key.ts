import type { Queryable } from '../queryable.ts'

/** Ends a key for good; the row stays, so that logs can be read later. Resolves to whether it was valid. Primary key. */
export async function revokeApiKey(client: Queryable, id: string): Promise<boolean> {
  const { rowCount } = await client.query({
    text: 'update postcommit.api_key set revoked_at = clock_timestamp() where id = $1 and revoked_at is null',
    values: [id],
  })
  return rowCount === 1
}
