import type { Queryable } from '../queryable.ts'

/** For so long logs are read in which a key that is of no use any more is named. */
const KEPT_DAYS = 400

/** Forgets keys that were revoked, or have expired, long ago. A few rows. */
export async function purgeApiKeys(client: Queryable): Promise<void> {
  await client.query({
    text: `delete from postcommit.api_key
where least(revoked_at, expires_at) < statement_timestamp() - interval '${KEPT_DAYS} days'`,
  })
}
