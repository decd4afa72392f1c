import type { Queryable } from '../queryable.ts'

/** A claim on one transaction. */
export interface HeldClaim {
  readonly id: string
  readonly token: string
}

/**
 * Gives back transactions whose claims still stand: due now, for whoever comes first. A relay that stops does it, so that
 * nobody waits for its leases. Primary key; the claim tells whoever took over meanwhile apart.
 */
export async function releaseTransactions(client: Queryable, claims: readonly HeldClaim[]): Promise<number> {
  const { rowCount } = await client.query({
    name: 'postcommit_release_transactions',
    text: `update postcommit.global_transaction t
set lease_token = null, lease_owner = null, due_at = clock_timestamp()
from unnest($1::bigint[], $2::uuid[]) as r (id, token) where t.id = r.id and t.lease_token = r.token`,
    values: [claims.map(({ id }) => id), claims.map(({ token }) => token)],
  })
  return rowCount ?? 0
}
