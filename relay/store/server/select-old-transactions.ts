import type { Queryable } from '../queryable.ts'

/** A transaction that keeps vacuum from cleaning up behind the relay. */
export interface OldTransaction {
  /** `process 4711` or the name of a prepared transaction. */
  readonly name: string
  readonly application: string | null
  readonly user: string | null
  readonly ageMs: number
  /** Whether it has written to the barrier table: a receipt of an inbox, or a row of a branch. */
  readonly holdsReceipts: boolean
}

// A table that is not there holds nothing.
const HOLDS_RECEIPTS = `exists (
    select from pg_locks l where l.pid = pg_stat_activity.pid and l.locktype = 'relation' and l.mode = 'RowExclusiveLock'
      and l.granted and l.database = (select oid from pg_database where datname = current_database())
      and l.relation = to_regclass('postcommit.barrier')
  )`

/**
 * Transactions open for longer than `ageMs` that hold the xmin horizon of this database, prepared ones included. They
 * cost the relay nothing, but dead rows pile up behind them. Looks at every session; for `doctor`, not for a loop.
 */
export async function selectOldTransactions(client: Queryable, ageMs: number): Promise<readonly OldTransaction[]> {
  const { rows } = await client.query<OldTransaction>({
    text: `select * from (
  select 'process ' || pid as name, application_name as application, usename::text as "user",
    extract(epoch from clock_timestamp() - xact_start)::float8 * 1000 as "ageMs", ${HOLDS_RECEIPTS} as "holdsReceipts"
  from pg_stat_activity
  where datname = current_database() and (backend_xmin is not null or ${HOLDS_RECEIPTS}) and backend_type = 'client backend'
  union all
  select 'prepared transaction ' || gid, null, owner::text, extract(epoch from clock_timestamp() - prepared)::float8 * 1000, false
  from pg_prepared_xacts where database = current_database()
) open where "ageMs" > $1 order by "ageMs" desc limit 10`,
    values: [ageMs],
  })
  return rows
}
