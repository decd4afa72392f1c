import type { Queryable } from '../queryable.ts'
import { RELAY_LOCK_CLASS } from './insert-relay.ts'

/** A relay as the database knows it. */
export interface RelayRow {
  readonly id: string
  readonly name: string
  readonly version: string
  /** The names it delivers to. */
  readonly destinations: readonly string[]
  readonly startedAt: Date
  /** Until its lease runs out; negative if it has. */
  readonly leaseMs: number
  /** Whether its process still holds the lock that proves it alive. */
  readonly alive: boolean
}

/** The relays of a database. Locks are looked up, not tried: this must never make a live relay look dead. */
export async function selectRelays(client: Queryable): Promise<readonly RelayRow[]> {
  const { rows } = await client.query<RelayRow>({
    text: `select r.id, r.name, r.version, r.destinations, r.started_at as "startedAt",
  extract(epoch from r.lease_until - clock_timestamp())::float8 * 1000 as "leaseMs",
  exists (
    select from pg_locks l join pg_database d on d.oid = l.database
    where l.locktype = 'advisory' and l.classid = ${RELAY_LOCK_CLASS} and l.objid = r.id::int and l.objsubid = 2
      and l.granted and d.datname = current_database()
  ) as alive
from postcommit.relay r order by r.id`,
  })
  return rows
}
