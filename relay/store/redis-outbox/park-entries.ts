import { createHash } from 'node:crypto'
import { EntryOp } from 'postcommit/protocol'
import type { ParkedEntry } from '../../engine/redis-batch.ts'
import type { Queryable } from '../queryable.ts'

/** The destination of entries that were set aside: the relay itself, which applies one again when it is requeued. */
export const REDIS_OUTBOX_DESTINATION = 'redis-outbox'

/** An entry that was set aside, as its dead letter holds it. */
export interface ParkedContent {
  readonly id: string
  readonly epoch: string
  readonly entry?: string
  readonly value?: string
}

/**
 * Sets entries aside as dead letters, each with its reason, and counts units that were refused; resolves to how many were
 * set aside now. An entry that was set aside before and is read again, because its relay died before it had deleted it,
 * is found by its gid (hash index) and left as it is: it may have been requeued since.
 */
export async function parkEntries(
  client: Queryable,
  name: string,
  actor: string,
  parked: readonly ParkedEntry[],
): Promise<number> {
  const { rows } = await client.query<{ readonly parked: number }>({
    text: `with entry as (
  select * from unnest($4::text[], $5::int[], $6::text[], $7::text[], $8::text[], $9::bigint[]) with ordinality
    as e (gid, branch, payload, reason, key, units, n)
), dead as (
  insert into postcommit.delivery (gid, branch, destination, target, slot, payload, state, attempts, last_error)
  select e.gid, e.branch, $2, $1, (hashtextextended(e.gid, 0) & 63)::smallint, e.payload, 'dead', 1, e.reason
  from entry e
  where not exists (select from postcommit.delivery d where d.gid = e.gid and d.branch = e.branch and d.destination = $2)
  order by e.n
  returning id, gid, branch, last_error
), told as (
  insert into postcommit.attempt (delivery_id, event, attempt, detail, actor)
  select id, 'dead', 1, last_error, $3 from dead
), counted as (
  update postcommit.redis_stock s set refused = s.refused + u.units
  from (select key, sum(units) as units from entry join dead using (gid, branch) where key is not null group by key) u
  where s.name = $1 and s.key = u.key
)
select count(*)::int as parked from dead`,
    values: [
      name,
      REDIS_OUTBOX_DESTINATION,
      actor,
      parked.map(({ raw, entry }) => entry?.gid ?? nameless(name, raw.id)),
      parked.map(({ entry }) => (entry?.op === EntryOp.giveBack ? 2 : 1)),
      parked.map((entry) => JSON.stringify(contentOf(entry))),
      parked.map(({ reason }) => reason),
      parked.map(({ entry }) => (entry?.op === EntryOp.deduct ? (entry.key ?? null) : null)),
      parked.map(({ entry }) => entry?.qty ?? null),
    ],
  })
  return rows[0]?.parked ?? 0
}

function contentOf({ raw: { id, epoch, text, value } }: ParkedEntry): ParkedContent {
  // NUL is what PostgreSQL cannot keep; nothing of ours writes it.
  const kept = (part: string) => part.replaceAll('\0', '\u{fffd}')
  return {
    id,
    epoch: kept(epoch),
    ...(text !== undefined && { entry: kept(text) }),
    ...(value !== undefined && { value: kept(value) }),
  }
}

/** What has no gid gets one from its place in the stream, the same whenever it is read. */
function nameless(name: string, id: string): string {
  return createHash('sha256').update(`${name}\n${id}`).digest('base64url').slice(0, 32)
}
