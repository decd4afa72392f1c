import type { Statement } from '../database.ts'

/** A sale goes on under this epoch, unless somebody else has given it another meanwhile. Primary keys. */
export function endReopening(name: string, epoch: string): Statement {
  return {
    text: `with reopened as (
  update postcommit.redis_outbox set stopped_at = null, stopped_reason = null where name = $1 and epoch = $2 returning name
)
update postcommit.redis_stock s set stocked_at = coalesce(stocked_at, clock_timestamp()) from reopened r where s.name = r.name`,
    values: [name, epoch],
  }
}
