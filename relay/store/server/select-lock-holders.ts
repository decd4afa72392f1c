import type { Queryable } from '../queryable.ts'

/** A session in whose way a lock would be, and which would be in its way. */
export interface LockHolder {
  readonly pid: number
  readonly application: string | null
  readonly user: string | null
  /** How long its transaction has been open; null: this role may not see it. */
  readonly ageMs: number | null
}

/**
 * Sessions other than the own one that have held a lock on a table for longer than `ageMs`, or of which that cannot be
 * seen. Looked up before ACCESS EXCLUSIVE is asked for: a lock that waits keeps everyone away who comes after it.
 *
 * Both views show the whole cluster, and the numbers of tables are those of one database. Memory only, no table is read.
 */
export async function selectLockHolders(
  client: Queryable,
  table: string,
  ageMs: number,
): Promise<readonly LockHolder[]> {
  const { rows } = await client.query<LockHolder>({
    text: `select distinct s.pid, s.application_name as application, s.usename::text as "user",
  extract(epoch from clock_timestamp() - s.xact_start)::float8 * 1000 as "ageMs"
from pg_locks l join pg_stat_activity s on s.pid = l.pid
where l.locktype = 'relation' and l.granted and l.pid <> pg_backend_pid()
  and l.database = (select oid from pg_database where datname = current_database())
  and l.relation = to_regclass($1) and (s.xact_start is null or s.xact_start < clock_timestamp() - $2 * interval '1 millisecond')
order by s.pid limit 10`,
    values: [table, ageMs],
  })
  return rows
}
