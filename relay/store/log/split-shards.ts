import type { Queryable } from '../queryable.ts'

/**
 * Cuts the log into more shards. Every new shard starts from the position of the one it was cut from, whose owner is
 * fenced and takes it again: nothing is skipped and nothing is read twice. A shard in the middle of a frozen window
 * passes that on as well. Resolves to how many there are now; fewer than before is not possible, because two
 * positions cannot be made one without repeating what lies between them.
 */
export async function splitShards(client: Queryable, count: number): Promise<number> {
  const { rows } = await client.query<{ shards: number }>({
    text: `with old as materialized (
  select * from postcommit.position for update
), wanted as (
  select n::smallint as shard, (n * 64 / $1)::smallint as slot_first, ((n + 1) * 64 / $1 - 1)::smallint as slot_last
  from generate_series(0, $1 - 1) n
  where $1 > (select count(*) from old) and $1 % (select count(*) from old) = 0
), cut as (
  select wanted.*, old.snapshot, old.low, old.floor, old.floor_snapshot, old.window_snapshot, old.window_id, old.epoch
  from wanted join old on wanted.slot_first between old.slot_first and old.slot_last
), written as (
  insert into postcommit.position
    (shard, slot_first, slot_last, snapshot, low, floor, floor_snapshot, window_snapshot, window_id, epoch)
  select shard, slot_first, slot_last, snapshot, low, floor, floor_snapshot, window_snapshot, window_id, epoch + 1 from cut
  on conflict (shard) do update set slot_first = excluded.slot_first, slot_last = excluded.slot_last,
    snapshot = excluded.snapshot, low = excluded.low, floor = excluded.floor, floor_snapshot = excluded.floor_snapshot,
    window_snapshot = excluded.window_snapshot,
    window_id = excluded.window_id, epoch = excluded.epoch, owner = null
  returning 1
), marks as (
  insert into postcommit.broker_mark
    (shard, stream, stream_sequence, message_id, snapshot, low, window_snapshot, window_id, saved_at)
  select cut.shard, m.stream, m.stream_sequence, m.message_id, m.snapshot, m.low, m.window_snapshot, m.window_id, m.saved_at
  from cut join old on cut.slot_first between old.slot_first and old.slot_last
    join postcommit.broker_mark m on m.shard = old.shard
  where cut.shard <> old.shard order by m.id
)
select greatest((select count(*) from written), (select count(*) from old))::int as shards`,
    values: [count],
  })
  return rows[0]?.shards ?? 0
}
