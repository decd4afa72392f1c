import type { Queryable } from '../queryable.ts'

/** What a relay must know of a server before it trusts it. */
export interface ServerFacts {
  /** 150018 is 15.18. */
  readonly versionNumber: number
  readonly version: string
  readonly standby: boolean
  readonly fsync: boolean
  readonly fullPageWrites: boolean
  readonly systemIdentifier: string
  readonly databaseOid: string
  /** Of the write-ahead log; null on a standby. */
  readonly timeline: number | null
  /** How far the write-ahead log is on disk, in bytes; null on a standby. */
  readonly flushed: string | null
  /** Where it is, as it says itself. */
  readonly place: string
}

/**
 * Settings and identity of the server; reads no table but that of the databases. The timeline is that of the file which is
 * being written: the control file tells the one of the last checkpoint, which is the old one just after a promotion.
 */
export async function selectServerFacts(client: Queryable): Promise<ServerFacts> {
  const { rows } = await client.query<ServerFacts>({
    text: `select current_setting('server_version_num')::int as "versionNumber", current_setting('server_version') as version,
  pg_is_in_recovery() as standby, current_setting('fsync')::bool as fsync,
  current_setting('full_page_writes')::bool as "fullPageWrites",
  (select system_identifier::text from pg_control_system()) as "systemIdentifier",
  ${DATABASE_OID}::text as "databaseOid", ${TIMELINE} as timeline, ${FLUSHED} as flushed, ${PLACE} as place`,
  })
  const [facts] = rows
  if (facts === undefined) throw new Error('a select without a table gave no row')
  return facts
}

export const DATABASE_OID = '(select oid from pg_database where datname = current_database())'

export const TIMELINE = `(case when pg_is_in_recovery() then null
  else ('x' || left(pg_walfile_name(pg_current_wal_flush_lsn()), 8))::bit(32)::int end)`

const FLUSHED = `(case when pg_is_in_recovery() then null else (pg_current_wal_flush_lsn() - '0/0')::text end)`

/**
 * A copy of the data that serves beside the original is at another address, or on another timeline. So may be the same
 * data after a restart or a fail-over: alone it proves nothing.
 */
export const PLACE = `format('%s:%s/%s, timeline %s', coalesce(host(inet_server_addr()), 'local'),
  current_setting('port'), current_database(), ${TIMELINE})`
