import { HANDED_ON } from '../log/handed-on.ts'
import type { Queryable } from '../queryable.ts'
import type { BranchStory } from './branch-story.ts'

/**
 * The messages of a transaction for the outbox as branches: as they were prepared while they are undecided or wait, and
 * as outbox and delivery have them from then on. A discarded delivery is a branch that failed.
 *
 * Plans: the primary key of the transaction; the hash index delivery_gid; outbox_xid for the xid of the hand-over.
 */
export async function selectOutboxBranches(client: Queryable, id: string): Promise<readonly BranchStory[]> {
  const { rows } = await client.query<BranchStory>({
    text: `with t as materialized (
  select id, gid, content, handed_xid, created_at, updated_at from postcommit.global_transaction where id = $1::bigint
), message as (
  select m.branch, m.destination, m.target, m.payload, decode(m.body, 'base64') as body, 'prepared' as status, 0 as attempts,
    null::int as last_status, null::text as last_error, t.created_at, t.updated_at, null::timestamptz as finished_at
  from t cross join lateral json_to_recordset(t.content::json)
    as m (branch integer, destination text, target text, payload text, body text)
  union all
  select d.branch, d.destination, d.target, d.payload, d.body,
    case d.state when 'confirmed' then 'succeed' when 'discarded' then 'failed' else 'prepared' end, d.attempts,
    d.last_status, d.last_error, d.created_at, coalesce(d.settled_at, d.created_at), d.settled_at
  from t join postcommit.delivery d on d.gid = t.gid where t.handed_xid is not null
  union all
  select log.branch, null, log.topic, log.payload, log.body, case when log.handed_on then 'succeed' else 'prepared' end, 0,
    null, null, log.created_at, log.created_at, null
  from (
    select log.*, ${HANDED_ON} as handed_on from t join postcommit.outbox log on log.xid = t.handed_xid and log.gid = t.gid
  ) log
  -- What was set aside is a delivery under the same id.
  where not exists (select from postcommit.delivery d where d.id = log.id)
)
select branch::text, 'action' as op, status,
  case when destination is null then 'nats:' || target when destination = 'nats' then 'nats:' || target
    else destination || target end as target,
  payload, body, null::text[] as after, null as recovery, null::int as "startSeq", null::int as "endSeq",
  attempts + (status = 'succeed')::int as calls, attempts, last_status as "lastStatus", last_error as "lastError",
  null::int as "durationMs", null::bytea as result, created_at as "createdAt", updated_at as "updatedAt",
  finished_at as "finishedAt"
from message order by message.branch`,
    values: [id],
  })
  return rows
}
