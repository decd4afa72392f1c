import type { PositionUpdate } from '../log/save-position.ts'
import type { Queryable } from '../queryable.ts'

/** What a stream has acknowledged: a message and its place in the stream. */
export interface Acknowledgement {
  readonly stream: string
  readonly sequence: number
  readonly messageId: string
}

/**
 * Writes down the newest acknowledgement of each stream beside a position that they cover, if `epoch` stands. Once in half a
 * minute; position by primary key.
 */
export async function insertBrokerMarks(
  client: Queryable,
  shard: number,
  epoch: string,
  { snapshot, low, window }: Omit<PositionUpdate, 'ack'>,
  acks: readonly Acknowledgement[],
): Promise<void> {
  await client.query({
    name: 'postcommit_insert_broker_marks',
    text: `insert into postcommit.broker_mark
  (shard, stream, stream_sequence, message_id, snapshot, low, window_snapshot, window_id)
select p.shard, ack.*, $6::pg_snapshot, $7, $8::pg_snapshot, $9
from postcommit.position p, unnest($3::text[], $4::bigint[], $5::text[]) as ack
where p.shard = $1 and p.epoch = $2`,
    values: [
      shard,
      epoch,
      acks.map(({ stream }) => stream),
      acks.map(({ sequence }) => sequence),
      acks.map(({ messageId }) => messageId),
      snapshot,
      low.toString(),
      window?.snapshot ?? null,
      window?.id ?? null,
    ],
  })
}
