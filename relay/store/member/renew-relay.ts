import type { Queryable } from '../queryable.ts'

/** Renews the lease by the database's clock; false if others have declared this relay dead. Primary key, HOT. */
export async function renewRelay(client: Queryable, relay: string, leaseMs: number): Promise<boolean> {
  const { rowCount } = await client.query({
    name: 'postcommit_renew_relay',
    text: `update postcommit.relay set lease_until = clock_timestamp() + $2 * interval '1 millisecond' where id = $1`,
    values: [relay, leaseMs],
  })
  return rowCount === 1
}
