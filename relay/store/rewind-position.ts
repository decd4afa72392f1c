import type { Queryable } from './queryable.ts'

/**
 * Takes a shard back to a mark, or, without one, to the beginning of what is kept: all that was handed on since is published
 * again, under the same message ids. The epoch rises, so whoever publishes the shard is fenced and whoever takes it next
 * starts there; marks that are newer have nothing behind them any more. Resolves to whether `epoch` still stood.
 *
 * The beginning is a snapshot in which nothing is visible, as for the first relay that ever ran.
 */
export async function rewindPosition(
  client: Queryable,
  shard: number,
  epoch: string,
  mark: string | undefined,
): Promise<boolean> {
  const { rowCount } = await client.query({
    text: `with mark as (
  select * from postcommit.broker_mark where id = $3::bigint
), rewound as (
  update postcommit.position p set owner = null, epoch = p.epoch + 1,
    snapshot = coalesce((select snapshot from mark), '1:1:'::pg_snapshot), low = coalesce((select low from mark), 0),
    floor = coalesce((select low from mark), 0), floor_snapshot = null, window_snapshot = (select window_snapshot from mark), window_id = (select window_id from mark),
    stream = (select stream from mark), stream_sequence = (select stream_sequence from mark),
    message_id = (select message_id from mark), saved_at = clock_timestamp()
  where p.shard = $1 and p.epoch = $2 returning p.shard
), forgotten as (
  delete from postcommit.broker_mark m using rewound where m.shard = rewound.shard and m.id > coalesce($3::bigint, 0)
)
select from rewound`,
    values: [shard, epoch, mark ?? null],
  })
  return (rowCount ?? 0) > 0
}
