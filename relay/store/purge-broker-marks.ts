import type { Queryable } from './queryable.ts'

/** Deletes marks from before the retention: the messages behind them are gone from the log as well. A few thousand rows. */
export async function purgeBrokerMarks(client: Queryable, retentionMs: number): Promise<void> {
  await client.query({
    text: `delete from postcommit.broker_mark where saved_at < clock_timestamp() - $1 * interval '1 millisecond'`,
    values: [retentionMs],
  })
}
