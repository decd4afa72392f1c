import type { Queryable } from '../queryable.ts'

/** Where a shard is taken back to. */
export interface RewindTarget {
  /** The mark; undefined: the beginning of what is kept. */
  readonly mark: string | undefined
  /** Up to this id the log is older than the retention. */
  readonly expired: bigint
}

/**
 * Takes a shard back to a mark, or, without one, to the beginning of what is kept: all that was handed on since is published
 * again, under the same message ids, except what is older than the retention. The epoch rises, so whoever publishes the
 * shard is fenced and whoever takes it next starts there; marks that are newer have nothing behind them any more.
 * Resolves to how many messages were left out as too old, counted to 100,000; to undefined if `epoch` stood no longer.
 *
 * The beginning is a snapshot in which nothing is visible, as for the first relay that ever ran. What is left out is what the
 * window of a position says: what the position showed up to that id is handed on. So a message that waits, or that an open
 * transaction still brings, is not left out however old it is.
 *
 * Position by primary key, marks of one shard, and the messages that are left out by primary key. The insert leaves a
 * trace for `doctor` and `status`, in the same statement: what is put right so soon would otherwise be seen by no operator.
 */
export async function rewindPosition(
  client: Queryable,
  shard: number,
  epoch: string,
  streams: readonly string[],
  { mark, expired }: RewindTarget,
): Promise<number | undefined> {
  const { rows } = await client.query<{ leftOut: number }>({
    text: `with was as materialized (
  select * from postcommit.position where shard = $1 and epoch = $2 for update
), mark as materialized (
  select * from postcommit.broker_mark where id = $3::bigint
), start as materialized (
  select was.shard, coalesce(mark.snapshot, '1:1:'::pg_snapshot) as snapshot, coalesce(mark.low, 0) as low,
    mark.stream, mark.stream_sequence, mark.message_id, mark.window_snapshot, mark.window_id,
    was.slot_first, was.slot_last,
    coalesce(was.window_snapshot, was.snapshot) as handed_on, least($4::bigint, was.window_id) as up_to,
    least($4::bigint, was.window_id) > greatest(mark.low, mark.window_id, 0) as is_cut
  from was left join mark on true
), rewound as (
  update postcommit.position p set owner = null, epoch = p.epoch + 1,
    snapshot = start.snapshot, low = start.low, floor = start.low, floor_snapshot = null,
    window_snapshot = case when is_cut then handed_on else start.window_snapshot end,
    window_id = case when is_cut then up_to else start.window_id end,
    stream = start.stream, stream_sequence = start.stream_sequence, message_id = start.message_id,
    saved_at = clock_timestamp()
  from start where p.shard = start.shard and p.epoch = $2 returning p.shard
), forgotten as (
  delete from postcommit.broker_mark m using rewound where m.shard = rewound.shard and m.id > coalesce($3::bigint, 0)
), too_old as materialized (
  select count(*) as messages from (
    select from start join postcommit.outbox log on log.id > start.low and log.id <= up_to
      and log.slot between slot_first and slot_last
      and pg_visible_in_snapshot(log.xid, handed_on) and not pg_visible_in_snapshot(log.xid, start.snapshot)
    where is_cut limit 100000
  ) log
), noted as (
  insert into postcommit.broker_loss (shard, streams, after_message_id, left_out)
  select shard, $5::text[], (select message_id from start), (select messages from too_old) from rewound
)
select messages::int as "leftOut" from rewound, too_old`,
    values: [shard, epoch, mark ?? null, expired.toString(), streams],
  })
  return rows[0]?.leftOut
}
