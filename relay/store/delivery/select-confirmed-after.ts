import type { Queryable } from '../queryable.ts'

/** A delivery that was confirmed. */
export interface TailedConfirmation {
  readonly id: string
  readonly gid: string
  readonly branch: number
  readonly destination: string
  readonly target: string
  readonly key: string | null
  /** Failed attempts before the one that was confirmed. */
  readonly attempts: number
  readonly status: number | null
  readonly settledAt: Date
  /** From the insert in the business transaction to the confirmation. */
  readonly tookMs: number
}

/** Deliveries confirmed since a moment, oldest first. Index delivery_settled_at. */
export async function selectConfirmedAfter(
  client: Queryable,
  after: Date,
  limit: number,
): Promise<readonly TailedConfirmation[]> {
  const { rows } = await client.query<TailedConfirmation>({
    text: `select id, gid, branch, destination, target, key, attempts, last_status as status, settled_at as "settledAt",
  extract(epoch from settled_at - created_at)::float8 * 1000 as "tookMs"
from postcommit.delivery
where settled_at > $1 and state = 'confirmed' order by settled_at, id limit $2`,
    values: [after, limit],
  })
  return rows
}
