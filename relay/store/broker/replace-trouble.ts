import type { Queryable } from '../queryable.ts'

/** Something that keeps messages from where they go, as it is written down. Times are milliseconds from now. */
export interface ToldTrouble {
  readonly scope: string
  readonly cause: string
  readonly error: string
  readonly forMs: number
  readonly nextProbeInMs: number
}

/**
 * Replaces what a relay has said to be in its way. Primary key of `trouble`; the row of the relay is share-locked, so that a
 * relay that has been buried writes nothing, instead of failing at the foreign key.
 */
export async function replaceTrouble(
  client: Queryable,
  relay: string,
  troubles: readonly ToldTrouble[],
): Promise<void> {
  await client.query({
    name: 'postcommit_replace_trouble',
    text: `with alive as materialized (
  select id from postcommit.relay where id = $1::bigint for key share
), told as (
  select * from unnest($2::text[], $3::text[], $4::text[], $5::float8[], $6::float8[])
    as t (scope, cause, error, for_ms, next_ms)
), over as (
  delete from postcommit.trouble where relay = $1::bigint and scope <> all($2::text[])
)
insert into postcommit.trouble as known (relay, scope, cause, error, since, next_probe_at)
select alive.id, scope, cause, error, clock_timestamp() - for_ms * interval '1 millisecond',
  clock_timestamp() + next_ms * interval '1 millisecond'
from told cross join alive
on conflict (relay, scope) do update
set cause = excluded.cause, error = excluded.error, since = excluded.since, next_probe_at = excluded.next_probe_at`,
    values: [
      relay,
      troubles.map(({ scope }) => scope),
      troubles.map(({ cause }) => cause),
      troubles.map(({ error }) => error),
      troubles.map(({ forMs }) => forMs),
      troubles.map(({ nextProbeInMs }) => nextProbeInMs),
    ],
  })
}
