import type { Queryable } from '../queryable.ts'

/** Lets nothing more be sold of an outbox under this epoch; the first reason stays. Primary key. */
export async function stopSale(client: Queryable, name: string, epoch: string, reason: string): Promise<void> {
  await client.query({
    text: `update postcommit.redis_outbox set stopped_at = clock_timestamp(), stopped_reason = $3
where name = $1 and epoch = $2 and stopped_at is null`,
    values: [name, epoch, reason],
  })
}
