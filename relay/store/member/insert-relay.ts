import type { Queryable } from '../queryable.ts'

/** The class of the advisory locks that live relays hold on their ids. */
export const RELAY_LOCK_CLASS = 810_736

/** What a relay tells about itself. */
export interface RelayIdentity {
  readonly name: string
  readonly version: string
  /** The names it delivers to. */
  readonly destinations: readonly string[]
}

/**
 * Enters a relay and takes the advisory lock that proves that its process is alive, in one statement: a row that is
 * visible without its lock would be buried by the others. Must run on the session that is to hold the lock.
 */
export async function insertRelay(client: Queryable, relay: RelayIdentity, leaseMs: number): Promise<string> {
  const { name, version, destinations } = relay
  const { rows } = await client.query<{ id: string }>({
    text: `with entered as (
  insert into postcommit.relay (name, version, destinations, lease_until)
  values ($1, $2, $3, clock_timestamp() + $4 * interval '1 millisecond') returning id
)
select id, pg_advisory_lock(${RELAY_LOCK_CLASS}, id::int) from entered`,
    values: [name, version, destinations, leaseMs],
  })
  const [row] = rows
  if (row === undefined) throw new Error('insert returned no row')
  return row.id
}
