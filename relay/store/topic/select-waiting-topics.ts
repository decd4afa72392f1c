import { HANDED_ON, MAY_WAIT } from '../log/handed-on.ts'
import type { Queryable } from '../queryable.ts'

/**
 * Topics of messages that NATS has not taken yet: in the log or set aside. For development; looks at a thousand of
 * each. Index outbox_xid; index delivery_due.
 */
export async function selectWaitingTopics(client: Queryable): Promise<readonly string[]> {
  const { rows } = await client.query<{ topic: string }>({
    text: `select topic from (
  select topic from postcommit.outbox log where ${MAY_WAIT} and not ${HANDED_ON} limit 1000
) waiting
union
select target from (
  select target from postcommit.delivery where destination = 'nats' and state = 'pending' limit 1000
) set_aside`,
  })
  return rows.map(({ topic }) => topic)
}
