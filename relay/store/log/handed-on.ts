/**
 * Whether the row `log` of the outbox has been handed on: acknowledged by the broker, or set aside in `delivery`. It
 * is not a column; it is the row's visibility in the position of its shard, or in the part of a large window that is
 * done. A row that appeared below the floor since that was raised has not: no reader looks there. A handful of positions,
 * read once per row.
 */
export const HANDED_ON = `(
  select (
      pg_visible_in_snapshot(log.xid, p.snapshot)
      or coalesce(log.id <= p.window_id and pg_visible_in_snapshot(log.xid, p.window_snapshot), false)
    ) and (log.id > p.floor or pg_visible_in_snapshot(log.xid, coalesce(p.floor_snapshot, p.snapshot)))
  from postcommit.position p where log.slot between p.slot_first and p.slot_last
)`

/**
 * A cheap condition that every row of the outbox `log` meets that has not been handed on, for the statements that look
 * for such rows: it bounds the index scan, by id or by xid, before {@link HANDED_ON} is asked row by row (2.4 s instead
 * of 0.1 s for a million rows). A row that a snapshot does not show has an xid at or above its xmin.
 */
export const MAY_WAIT = `log.id > (select min(low) from postcommit.position)
  and log.xid >= (select pg_snapshot_xmin(snapshot) as xmin from postcommit.position order by xmin limit 1)`
