import { HANDED_ON } from './handed-on.ts'
import type { Queryable } from './queryable.ts'

/**
 * Topics of messages that NATS has not taken yet: in the log or set aside. For development; looks at a thousand of
 * each. Primary key of the log above the low bound of the positions; index delivery_due.
 */
export async function selectWaitingTopics(client: Queryable): Promise<readonly string[]> {
  const { rows } = await client.query<{ topic: string }>({
    text: `select topic from (
  select topic from postcommit.outbox log
  where id > (select min(low) from postcommit.position) and not ${HANDED_ON} limit 1000
) waiting
union
select target from (
  select target from postcommit.delivery where destination = 'nats' and state = 'pending' limit 1000
) set_aside`,
  })
  return rows.map(({ topic }) => topic)
}
