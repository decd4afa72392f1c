import type { Queryable } from '../queryable.ts'

/** A stock that is sold in Redis, as the database knows it. */
export interface StockRow {
  readonly outbox: string
  readonly key: string
  readonly total: number
  readonly sold: number
  /** Units that Redis sold and the database refused. */
  readonly refused: number
  readonly stoppedAt: Date | null
  readonly stoppedReason: string | null
}

/** All stocks; a row for each sale that there has been. */
export async function selectStocks(client: Queryable): Promise<readonly StockRow[]> {
  const { rows } = await client.query<StockRow>({
    text: `select o.name as outbox, s.key, s.total::float8, s.sold::float8, s.refused::float8,
  o.stopped_at as "stoppedAt", o.stopped_reason as "stoppedReason"
from postcommit.redis_outbox o join postcommit.redis_stock s using (name) order by o.opened_at, o.name, s.key`,
  })
  return rows
}
