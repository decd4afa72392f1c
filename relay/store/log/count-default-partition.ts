import type { Queryable } from '../queryable.ts'
import { BACKLOG_COUNT_MAX } from './select-log-backlog.ts'

/** How many rows arrived when no partition was made for them; counted to a limit. */
export async function countDefaultPartition(client: Queryable): Promise<number> {
  const { rows } = await client.query<{ count: number }>({
    text: `select count(*)::int as count from (select from postcommit.outbox_default limit ${BACKLOG_COUNT_MAX}) found`,
  })
  return rows[0]?.count ?? 0
}
