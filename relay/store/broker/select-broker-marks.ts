import type { Queryable } from '../queryable.ts'
import type { Acknowledgement } from './insert-broker-marks.ts'

/** An acknowledgement beside which a position was written down. */
export interface BrokerMark extends Acknowledgement {
  readonly id: string
}

/** The marks of a shard, oldest first. Read when a relay takes it, or finds that a broker has forgotten something. */
export async function selectBrokerMarks(client: Queryable, shard: number): Promise<readonly BrokerMark[]> {
  const { rows } = await client.query<BrokerMark>({
    text: `select id, stream, stream_sequence::float8 as sequence, message_id as "messageId"
from postcommit.broker_mark where shard = $1 order by id`,
    values: [shard],
  })
  return rows
}
