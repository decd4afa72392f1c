import type { Queryable } from '../queryable.ts'

/** What `doctor` looks at beyond what a relay demands. */
export interface ServerSettings {
  /** The default of the connecting user, which the SDK overrides for its own transactions. */
  readonly synchronousCommit: string
  readonly autovacuum: boolean
  /** The database's clock, unix milliseconds. */
  readonly nowMs: number
  readonly encrypted: boolean
  readonly pid: number
}

/** Settings and the state of this session; reads no table. */
export async function selectServerSettings(client: Queryable): Promise<ServerSettings> {
  const { rows } = await client.query<ServerSettings>({
    text: `select current_setting('synchronous_commit') as "synchronousCommit",
  current_setting('autovacuum')::bool as autovacuum,
  (extract(epoch from clock_timestamp()) * 1000)::float8 as "nowMs",
  coalesce((select ssl from pg_stat_ssl where pid = pg_backend_pid()), false) as encrypted,
  pg_backend_pid() as pid`,
  })
  const [settings] = rows
  if (settings === undefined) throw new Error('a select without a table gave no row')
  return settings
}
