import type { Queryable } from '../queryable.ts'

/** What keeps relays from handing messages on. */
export interface Trouble {
  readonly scope: string
  readonly cause: string
  readonly error: string
  readonly since: Date
  readonly forMs: number
  readonly nextProbeInMs: number
  /** Names of the relays that say so. */
  readonly relays: readonly string[]
}

/**
 * What live relays say is in their way, oldest first; of several that say the same, since when the first does. A short table,
 * read whole; a relay that is gone says nothing any more, even if it has not been buried yet.
 */
export async function selectTrouble(client: Queryable): Promise<readonly Trouble[]> {
  const { rows } = await client.query<Trouble>({
    text: `select t.scope, max(t.cause) as cause, max(t.error) as error, min(t.since) as since,
  extract(epoch from clock_timestamp() - min(t.since))::float8 * 1000 as "forMs",
  greatest(0, extract(epoch from min(t.next_probe_at) - clock_timestamp())::float8 * 1000) as "nextProbeInMs",
  array_agg(r.name order by r.id) as relays
from postcommit.trouble t join postcommit.relay r on r.id = t.relay
where r.lease_until > clock_timestamp()
group by t.scope order by min(t.since), t.scope`,
  })
  return rows
}
