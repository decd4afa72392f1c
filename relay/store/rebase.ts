import type { Queryable } from './queryable.ts'

/**
 * Makes the log of a restored dump readable in its new cluster, whose transaction ids started over: every kept row
 * gets the xid of this transaction, and every position starts before it. All of it is published again, under the
 * message ids it had; what consumers have seen, their inbox absorbs. The only statement that ever updates the log.
 *
 * @param sinceMs - rows inserted longer ago are taken as handed on
 */
export async function rebase(client: Queryable, sinceMs: number): Promise<number> {
  const { rowCount } = await client.query({
    text: `with here as (
  update postcommit.installation set system_identifier = (select system_identifier from pg_control_system())
), marks as (
  delete from postcommit.broker_mark
), start as (
  update postcommit.position set owner = null, epoch = epoch + 1, low = 0, window_snapshot = null, window_id = null,
    snapshot = (pg_current_xact_id()::text || ':' || pg_current_xact_id()::text || ':')::pg_snapshot
)
update postcommit.outbox set xid = case
  when created_at >= clock_timestamp() - $1 * interval '1 millisecond' then pg_current_xact_id() else '3'::xid8 end`,
    values: [sinceMs],
  })
  return rowCount ?? 0
}
