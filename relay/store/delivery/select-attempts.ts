import type { Queryable } from '../queryable.ts'

/** What happened to a delivery: an attempt that failed, or something a person did. */
export interface Attempt {
  readonly deliveryId: string
  readonly at: Date
  readonly event: 'failed' | 'unavailable' | 'dead' | 'requeued' | 'discarded'
  readonly attempt: number
  readonly durationMs: number | null
  readonly status: number | null
  readonly detail: string | null
  readonly actor: string
}

/** The story of some deliveries, oldest first. Index attempt_delivery. */
export async function selectAttempts(
  client: Queryable,
  deliveryIds: readonly string[],
  limit: number,
): Promise<readonly Attempt[]> {
  const { rows } = await client.query<Attempt>({
    text: `select * from (
  select delivery_id as "deliveryId", at, event, attempt, duration_ms as "durationMs", status, detail, actor, id
  from postcommit.attempt where delivery_id = any($1::bigint[]) order by id desc limit $2
) newest order by id`,
    values: [deliveryIds, limit],
  })
  return rows
}
