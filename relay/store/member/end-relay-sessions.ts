import type { Queryable } from '../queryable.ts'

/** The application_name of every session of a relay, by which its successors find and end them. */
export function relaySessionName(relay: string): string {
  return `postcommit relay ${relay}`
}

/**
 * Ends the sessions that a dead relay has left open. A process that was stopped in the middle of a transaction holds
 * its row locks for as long as its socket lives; the successor would wait for them. Needs no privilege beyond the
 * same role. The view shows the whole cluster, and the ids of relays are those of one database.
 */
export async function endRelaySessions(client: Queryable, relay: string): Promise<number> {
  const { rows } = await client.query<{ ended: number }>({
    text: `select count(pg_terminate_backend(pid))::int as ended from pg_stat_activity
where application_name = $1 and datname = current_database() and usename = current_user and pid <> pg_backend_pid()`,
    values: [relaySessionName(relay)],
  })
  return rows[0]?.ended ?? 0
}
