import type { Queryable } from '../queryable.ts'

/** What the database knows of an outbox in Redis whose stock was opened. */
export interface SaleRow {
  readonly epoch: string
  readonly stoppedReason: string | null
  /** Whether a stock of it was put into Redis: one without it has lost it. */
  readonly stocked: boolean
}

/** Primary keys. Undefined: no stock of it was opened. */
export async function selectSale(client: Queryable, name: string): Promise<SaleRow | undefined> {
  const { rows } = await client.query<SaleRow>({
    text: `select epoch, stopped_reason as "stoppedReason",
  exists (select from postcommit.redis_stock s where s.name = o.name and (s.stocked_at is not null or s.sold > 0)) as stocked
from postcommit.redis_outbox o where name = $1`,
    values: [name],
  })
  return rows[0]
}
