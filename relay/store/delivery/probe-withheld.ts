import type { Queryable } from '../queryable.ts'

/**
 * Makes one message due for each of these subjects and streams, the oldest that is not held behind its key: whoever claims
 * it finds out whether the subject takes messages again. Once in some seconds, for those that no relay probes by itself:
 * after a restart, or when the message that was the probe has been settled otherwise.
 *
 * Plan: for each the first pending row of delivery_withheld; the update by primary key. SKIP LOCKED leaves what is being
 * settled alone.
 */
export async function probeWithheld(client: Queryable, scopes: readonly string[]): Promise<number> {
  const { rowCount } = await client.query({
    name: 'postcommit_probe_withheld',
    text: `update postcommit.delivery d set due_at = clock_timestamp()
from unnest($1::text[]) as wanted (scope) cross join lateral (
  select id from postcommit.delivery
  where withheld_by = wanted.scope and state in ('pending', 'held') and state = 'pending'
  order by id limit 1 for no key update skip locked
) probe
where d.id = probe.id and d.due_at > clock_timestamp()`,
    values: [scopes],
  })
  return rowCount ?? 0
}
