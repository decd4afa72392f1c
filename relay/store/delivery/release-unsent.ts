import type { Queryable } from '../queryable.ts'

/** A claimed delivery that has not been sent. */
export interface UnsentDelivery {
  readonly id: string
  readonly token: string
}

/**
 * Gives back single deliveries of claims of which others are under way: due now, no attempt counted. Only where the
 * claim still stands.
 *
 * Plan: Function Scan, Nested Loop over the primary key.
 */
export async function releaseUnsent(client: Queryable, unsent: readonly UnsentDelivery[]): Promise<void> {
  await client.query({
    name: 'postcommit_release_unsent',
    text: `update postcommit.delivery d set lease_token = null, lease_owner = null, lease_until = null, due_at = clock_timestamp()
from unnest($1::bigint[], $2::uuid[]) as unsent (id, token)
where d.id = unsent.id and d.lease_token = unsent.token`,
    values: [unsent.map(({ id }) => id), unsent.map(({ token }) => token)],
  })
}
