import type { Queryable } from '../queryable.ts'

/** What was applied under a gid. */
export interface EntryOfGid {
  readonly outbox: string
  readonly op: string
  readonly key: string | null
  readonly qty: number | null
  readonly appliedAt: Date
}

/**
 * What outboxes in Redis have done under a gid. The primary key begins with the name of the outbox, so each of them is
 * looked at: a few index scans.
 */
export async function selectEntriesOfGid(client: Queryable, gid: string): Promise<readonly EntryOfGid[]> {
  const { rows } = await client.query<EntryOfGid>({
    text: `with recursive outbox as (
  select min(name) as name from postcommit.redis_entry
  union all
  select (select min(name) from postcommit.redis_entry e where e.name > outbox.name) from outbox where name is not null
)
select e.name as outbox, e.op, e.key, e.qty::float8, e.applied_at as "appliedAt"
from outbox join postcommit.redis_entry e using (name) where e.gid = $1 order by e.applied_at, e.op`,
    values: [gid],
  })
  return rows
}
