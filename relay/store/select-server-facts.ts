import type { Queryable } from './queryable.ts'

/** What a relay must know of a server before it trusts it. */
export interface ServerFacts {
  /** 150018 is 15.18. */
  readonly versionNumber: number
  readonly version: string
  readonly standby: boolean
  readonly fsync: boolean
  readonly fullPageWrites: boolean
  readonly systemIdentifier: string
}

/** Settings and identity of the server; reads no table. */
export async function selectServerFacts(client: Queryable): Promise<ServerFacts> {
  const { rows } = await client.query<ServerFacts>({
    text: `select current_setting('server_version_num')::int as "versionNumber", current_setting('server_version') as version,
  pg_is_in_recovery() as standby, current_setting('fsync')::bool as fsync,
  current_setting('full_page_writes')::bool as "fullPageWrites",
  (select system_identifier::text from pg_control_system()) as "systemIdentifier"`,
  })
  const [facts] = rows
  if (facts === undefined) throw new Error('a select without a table gave no row')
  return facts
}
