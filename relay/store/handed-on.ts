/**
 * Whether the row `log` of the outbox has been handed on: acknowledged by the broker, or set aside in `delivery`. It
 * is not a column; it is the row's visibility in the position of its shard, or in the part of a large window that is
 * done. A handful of positions, read once per row.
 */
export const HANDED_ON = `(
  select pg_visible_in_snapshot(log.xid, p.snapshot)
    or coalesce(log.id <= p.window_id and pg_visible_in_snapshot(log.xid, p.window_snapshot), false)
  from postcommit.position p where log.slot between p.slot_first and p.slot_last
)`
