import type { Queryable } from '../queryable.ts'
import type { Acknowledgement } from './insert-broker-marks.ts'

/**
 * Of each shard and stream the newest acknowledgement that is written down, for `doctor`, which knows no more than that.
 * The marks of all shards, a few thousand rows, and the positions.
 */
export async function selectNewestAcknowledgements(client: Queryable): Promise<readonly Acknowledgement[]> {
  const { rows } = await client.query<Acknowledgement>({
    text: `select distinct on (shard, stream) stream, stream_sequence::float8 as sequence, message_id as "messageId" from (
  select shard, stream, stream_sequence, message_id from postcommit.broker_mark
  union all
  select shard, stream, stream_sequence, message_id from postcommit.position
  where stream is not null and stream_sequence is not null and message_id is not null
) ack order by shard, stream, stream_sequence desc`,
  })
  return rows
}
