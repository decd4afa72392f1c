import type { Queryable } from '../queryable.ts'
import type { Attempt } from './select-attempts.ts'

/** An attempt together with the message it was about. */
export interface TailedAttempt extends Omit<Attempt, 'deliveryId'> {
  readonly id: string
  readonly gid: string
  readonly branch: number
  readonly destination: string
  readonly target: string
  readonly key: string | null
}

/**
 * Attempts newer than `id`, oldest first. Primary key of attempt. Ids are drawn before the commit, so a row can appear
 * below one that was read: the caller reads a little overlap and drops what it has shown.
 */
export async function selectAttemptsAfter(
  client: Queryable,
  id: string,
  limit: number,
): Promise<readonly TailedAttempt[]> {
  const { rows } = await client.query<TailedAttempt>({
    text: `select a.id, a.at, a.event, a.attempt, a.duration_ms as "durationMs", a.status, a.detail, a.actor,
  d.gid, d.branch, d.destination, d.target, d.key
from postcommit.attempt a join postcommit.delivery d on d.id = a.delivery_id
where a.id > $1 order by a.id limit $2`,
    values: [id, limit],
  })
  return rows
}
