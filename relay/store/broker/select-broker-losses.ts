import type { Queryable } from '../queryable.ts'

/** A stream that had lost what it acknowledged, and was given it again. */
export interface BrokerLoss {
  readonly stream: string
  /** When it was found last, and how long ago by the database's clock. */
  readonly foundAt: Date
  readonly ageMs: number
  /** How many shards were taken back. */
  readonly shards: number
  /** So many messages were too old to be published again; counted to 100,000 a shard. */
  readonly leftOut: number
}

/** What brokers have lost within the retention, by stream; a handful of rows. */
export async function selectBrokerLosses(client: Queryable): Promise<readonly BrokerLoss[]> {
  const { rows } = await client.query<BrokerLoss>({
    text: `select stream, max(found_at) as "foundAt", count(distinct shard)::int as shards, sum(left_out)::float8 as "leftOut",
  extract(epoch from clock_timestamp() - max(found_at))::float8 * 1000 as "ageMs"
from postcommit.broker_loss cross join unnest(streams) as stream group by stream order by stream`,
  })
  return rows
}
