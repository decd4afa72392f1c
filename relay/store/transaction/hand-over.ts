import { HANDED_ON } from '../log/handed-on.ts'
import type { Queryable } from '../queryable.ts'
import type { OrderedKey } from './expedite-heads.ts'

/** What became of messages that were to be handed over. */
export interface HandedOver {
  /** In outbox and delivery now. */
  readonly written: readonly string[]
  /** Decided, and waiting: an earlier message that shares a key is still undecided or waits itself. */
  readonly waiting: readonly string[]
  /** The keys of what was written: others may wait there. */
  readonly keys: readonly OrderedKey[]
}

/** What a statement writes with the rows of `ready` (id, gid, content): in the order of ids, and of the messages in each. */
const WRITE = `gone as (
  update postcommit.global_transaction t set status = 'succeed', content = null, handed_xid = pg_current_xact_id(),
    lease_token = null, lease_owner = null, backoff_ms = null, last_error = null, due_at = clock_timestamp(),
    updated_at = clock_timestamp(), finished_at = clock_timestamp()
  from ready where t.id = ready.id
), written as (
  select postcommit.write_messages(null, array_agg(m.gid), array_agg(m.branch), array_agg(m.destination), array_agg(m.target),
    array_agg(m.key), array_agg(m.headers), array_agg(m.payload), array_agg(decode(m.body, 'base64')),
    array_agg(m."delayMs"), array_fill(null::timestamptz, array[count(*)::int])) as xid
  from (
    select ready.gid, message.* from ready cross join lateral rows from (json_to_recordset(ready.content::json) as (
      branch integer, destination text, target text, key text, headers text, payload text, body text, "delayMs" float8
    )) with ordinality as message (branch, destination, target, key, headers, payload, body, "delayMs", position)
    order by ready.id, message.position
  ) m having count(*) > 0
)`

const OPEN = `t.status in ('prepared', 'submitted') and t.content is not null and t.paused_reason is null`

/**
 * Hands messages without keys over to the outbox, by the ids of their transactions: a compare-and-set of the status, the
 * last of it, and the rows that the publisher and the dispatcher read, in one statement and one commit. Resolves to those
 * that were written; the others have been handed over before, were given up, or are paused.
 *
 * Locked in the order of ids, so that two relays with the same messages do not wait for each other. `content` is read
 * under that lock.
 *
 * Plan, 100 messages: Nested Loop, Function Scan, Index Scan on global_transaction_pkey, LockRows; 100 updates (not HOT:
 * the row leaves a partial index); one call of the function.
 */
export async function handOver(client: Queryable, ids: readonly string[]): Promise<readonly string[]> {
  const { rows } = await client.query<{ ids: string[] }>({
    name: 'postcommit_hand_over',
    text: `with ready as materialized (
  select t.id, t.gid, t.content from unnest($1::bigint[]) as r (id) join postcommit.global_transaction t on t.id = r.id
  where ${OPEN} and t.key is null order by t.id for update of t
), ${WRITE}
select array(select id::text from ready) as ids, (select xid from written)`,
    values: [ids],
  })
  return rows[0]?.ids ?? []
}

/**
 * Locks the keys of messages until the end of the transaction, in the order of their hashes: what decides about a key
 * after this sees what was decided about it before. A statement of its own, because the next one has to see what the
 * holder of a lock has written.
 */
export async function lockKeysOf(client: Queryable, ids: readonly string[]): Promise<void> {
  await client.query({
    name: 'postcommit_lock_keys_of',
    text: `select pg_advisory_xact_lock(ordered.lock) from (
  select distinct hashtextextended(m.key, 8107365742) as lock
  from unnest($1::bigint[]) as r (id) join postcommit.global_transaction t on t.id = r.id
  cross join lateral json_to_recordset(t.content::json) as m (key text) where m.key is not null order by 1
) ordered`,
    values: [ids],
  })
}

/**
 * Hands messages with keys over, as {@link handOver}, each only if no earlier message that shares a key with it is still
 * undecided or waits. One that cannot go yet is marked as submitted and waits. After {@link lockKeysOf}, in its
 * transaction.
 *
 * `blocked`: behind a message that is none of these, or behind a blocked one of these.
 *
 * Plan: as `handOver`; Index Only Scan on prepared_key_pkey for each key, up to the first earlier one.
 */
export async function handOverInOrder(client: Queryable, ids: readonly string[]): Promise<HandedOver> {
  const { rows } = await client.query<HandedOver>({
    name: 'postcommit_hand_over_in_order',
    text: `with recursive candidate as materialized (
  select t.id, t.tenant, t.gid, t.content from unnest($1::bigint[]) as r (id)
  join postcommit.global_transaction t on t.id = r.id
  where ${OPEN} order by t.id for update of t
), line as materialized (
  select distinct candidate.id, candidate.tenant, m.key
  from candidate cross join lateral json_to_recordset(candidate.content::json) as m (key text) where m.key is not null
), blocked (id) as (
  select line.id from line where exists (
    select from postcommit.prepared_key p join postcommit.global_transaction earlier on earlier.id = p.transaction_id
    where p.tenant = line.tenant and p.key = line.key and p.transaction_id < line.id and earlier.finished_at is null
      and p.transaction_id not in (select id from candidate)
  )
  union
  select behind.id from blocked join line mine on mine.id = blocked.id
  join line behind on behind.tenant = mine.tenant and behind.key = mine.key and behind.id > mine.id
), ready as materialized (
  select id, gid, content from candidate where id not in (select id from blocked)
), waiting as (
  update postcommit.global_transaction t set status = 'submitted', lease_token = null, lease_owner = null,
    last_error = null, backoff_ms = least(30000, coalesce(2 * t.backoff_ms, 1000)), updated_at = clock_timestamp(),
    due_at = clock_timestamp() + least(30000, coalesce(2 * t.backoff_ms, 1000)) * interval '1 millisecond'
  from blocked where t.id = blocked.id
), left_line as (
  delete from postcommit.prepared_key p using line where p.tenant = line.tenant and p.key = line.key
    and p.transaction_id = line.id and line.id in (select id from ready)
), ${WRITE}
select array(select id::text from ready) as written, array(select id::text from blocked) as waiting,
  (select coalesce(json_agg(json_build_object('tenant', tenant, 'key', key)), '[]') from line
   where id in (select id from ready)) as keys, (select xid from written)`,
    values: [ids],
  })
  return rows[0] ?? { written: [], waiting: [], keys: [] }
}

/**
 * Whether a transaction, for a statement in which `t` is its row, was handed over and something of it is not settled: not
 * acknowledged by the broker, or a delivery that is pending, held or dead. By the hash index on the gid of deliveries, and
 * in the log by the xid of the hand-over, which is indexed where the gid is not.
 */
export const UNSETTLED = `(t.handed_xid is not null and (
  exists (select from postcommit.delivery d where d.gid = t.gid and d.state in ('pending', 'held', 'dead'))
  or exists (select from postcommit.outbox log where log.xid = t.handed_xid and log.gid = t.gid and not ${HANDED_ON})
))`
