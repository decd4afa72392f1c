import type { ReadEntry } from '../../engine/redis-batch.ts'
import type { Queryable } from '../queryable.ts'

/**
 * Writes the messages of a batch of entries, as `outbox.commit()` would write those of a transaction, and for the same
 * reasons: the xid is drawn before any id, the locks of the keys are taken in the order of their hashes and before any
 * id, and nothing follows but COMMIT. The seed of the locks is that of the services' own statements.
 */
export async function insertEntryMessages(client: Queryable, entries: readonly ReadEntry[]): Promise<number> {
  const messages = entries.flatMap(({ gid, messages = [] }) => messages.map((message) => ({ gid, ...message })))
  if (messages.length === 0) return 0
  type Message = (typeof messages)[number]
  const column = <T>(value: (message: Message) => T): T[] => messages.map(value)
  await client.query({
    name: 'postcommit_insert_entry_messages',
    text: `with message as materialized (
  select * from unnest($1::text[], $2::int[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::float8[], $10::timestamptz[])
    with ordinality as m (gid, branch, destination, target, key, headers, payload, body, delay_ms, due_at, position)
), gate as materialized (
  select pg_current_xact_id() as xid,
    (select count(pg_advisory_xact_lock(lock)) from (
      select distinct hashtextextended(key, 8107365742) as lock from message where key is not null order by 1
    ) ordered) as locks
), published as (
  insert into postcommit.outbox (xid, gid, branch, topic, key, slot, payload, body, headers)
  select gate.xid, m.gid, m.branch, m.target, m.key, (hashtextextended(coalesce(m.key, m.gid), 0) & 63)::smallint,
    m.payload, decode(m.body, 'base64'), m.headers
  from gate cross join message m where m.destination is null order by m.position
)
insert into postcommit.delivery (gid, branch, destination, target, key, slot, payload, body, headers, due_at)
select m.gid, m.branch, m.destination, m.target, m.key, (hashtextextended(coalesce(m.key, m.gid), 0) & 63)::smallint,
  m.payload, decode(m.body, 'base64'), m.headers,
  coalesce(m.due_at, clock_timestamp() + coalesce(m.delay_ms, 0) * interval '1 millisecond')
from gate cross join message m where m.destination is not null order by m.position`,
    values: [
      column(({ gid }) => gid),
      column(({ branch }) => branch),
      column(({ destination }) => destination ?? null),
      column(({ target }) => target),
      column(({ key }) => key ?? null),
      column(({ headers }) => headers ?? null),
      column(({ text }) => text ?? null),
      column(({ bytes }) => bytes ?? null),
      column(({ delayMs }) => delayMs ?? null),
      column(({ at }) => at ?? null),
    ],
  })
  return messages.length
}
