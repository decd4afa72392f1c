import type { Queryable } from '../queryable.ts'

/**
 * Deletes marks from before the retention: the messages behind them are gone from the log as well, or are not published
 * again. What is noted of losses goes with them. A few thousand rows.
 */
export async function purgeBrokerMarks(client: Queryable, retentionMs: number): Promise<void> {
  await client.query({
    text: `with losses as (
  delete from postcommit.broker_loss where found_at < clock_timestamp() - $1 * interval '1 millisecond'
)
delete from postcommit.broker_mark where saved_at < clock_timestamp() - $1 * interval '1 millisecond'`,
    values: [retentionMs],
  })
}
