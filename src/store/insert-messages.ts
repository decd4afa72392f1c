import type { Gid } from '../protocol/gid.ts'
import { type ArrayItem, arrayLiteral } from './array-literal.ts'
import type { CollectedMessage } from './collected-message.ts'
import type { Statement } from './database.ts'

/**
 * Writes every message of a transaction in one statement and returns the transaction's xid.
 *
 * It must be the last statement before COMMIT: it holds the key locks until then, and in a transaction that has
 * failed unnoticed it is what fails loudly (25P02).
 *
 * What the parts of `gate` are for, and what breaks without them:
 * - the xid is drawn before any id (`gate` is materialized and joined first; ids come from the column default, which
 *   is evaluated last). An id drawn before its xid could slip under the reader's lower bound and never be read.
 * - the advisory locks are taken in the order of their hashes, so two transactions with the same keys cannot
 *   deadlock on them, and before any id is drawn, so that ids of one key rise in the order of commits.
 * - `synchronous_commit` is read at COMMIT: a transaction whose commit could be forgotten in a crash after the relay
 *   has seen it would publish something that never happened. Only `off` allows that; other settings stay.
 *
 * A transaction with one message to publish is written by `publishMessage` instead, at a quarter of the cost.
 *
 * Ordering by ordinality keeps the ids in the order in which the messages were added.
 * Plan: two Function Scans and one Insert each; 0.05 ms beyond the two index insertions.
 */
export function insertMessages(gid: Gid, messages: readonly CollectedMessage[]): Statement {
  const published = messages.filter((message) => message.kind === 'publish')
  const deliveries = messages.filter((message) => message.kind === 'delivery')
  const keys = messages.flatMap(({ key }) => (key === undefined ? [] : [key]))
  const parameters = new Parameters()
  const gidAt = parameters.add(gid, 'text')
  const inserts = [
    published.length > 0 && insertPublished(parameters, gidAt, published),
    deliveries.length > 0 && insertDeliveries(parameters, gidAt, deliveries),
  ].filter((insert) => insert !== false)
  const locks = keys.length > 0 ? lockKeys(parameters, keys) : '0'
  return {
    text: `with gate as materialized (
  select pg_current_xact_id() as xid,
    ${locks} as locks,
    case when current_setting('synchronous_commit') = 'off' then set_config('synchronous_commit', 'on', true) end as sync
), ${inserts.join(', ')}
select xid::text as xid from gate`,
    values: parameters.values,
  }
}

// Any number that other users of advisory locks are unlikely to hash with; the function postcommit.publish has it too.
const LOCK_SEED = 8_107_365_742

function lockKeys(parameters: Parameters, keys: readonly string[]): string {
  return `(select count(pg_advisory_xact_lock(lock)) from (
      select distinct hashtextextended(key, ${LOCK_SEED}) as lock from unnest(${parameters.add(arrayLiteral(keys), 'text[]')}) key order by 1
    ) ordered)`
}

// 64 slots, for ever: a shard of the relay is a range of them, so the number of shards can change and the SDK need
// not know it. Without a key the gid decides, which keeps the messages of one transaction together.
const slotOf = (gidAt: string) => `(hashtextextended(coalesce(m.key, ${gidAt}), 0) & 63)::smallint`

function insertPublished(
  parameters: Parameters,
  gidAt: string,
  messages: readonly Extract<CollectedMessage, { kind: 'publish' }>[],
): string {
  const column = columnsOf(messages, parameters)
  return `published as (
  insert into postcommit.outbox (xid, gid, branch, topic, key, slot, payload, body, headers)
  select gate.xid, ${gidAt}, m.branch, m.topic, m.key, ${slotOf(gidAt)}, m.payload, m.body, m.headers
  from gate cross join unnest(${column('int[]', (m) => m.branch)}, ${column('text[]', (m) => m.target)}, ${column('text[]', (m) => m.key)},
    ${column('text[]', (m) => m.content.text)}, ${column('bytea[]', (m) => m.content.bytes)}, ${column('text[]', (m) => m.headers)})
    with ordinality as m (branch, topic, key, payload, body, headers, position)
  order by m.position
)`
}

function insertDeliveries(
  parameters: Parameters,
  gidAt: string,
  messages: readonly Extract<CollectedMessage, { kind: 'delivery' }>[],
): string {
  const column = columnsOf(messages, parameters)
  return `called as (
  insert into postcommit.delivery (gid, branch, destination, target, key, slot, payload, body, headers, due_at)
  select ${gidAt}, m.branch, m.destination, m.target, m.key, ${slotOf(gidAt)}, m.payload, m.body, m.headers,
    coalesce(m.due_at, clock_timestamp() + m.delay_ms * interval '1 millisecond')
  from gate cross join unnest(${column('int[]', (m) => m.branch)}, ${column('text[]', (m) => m.destination)}, ${column('text[]', (m) => m.target)},
    ${column('text[]', (m) => m.key)}, ${column('text[]', (m) => m.content.text)}, ${column('bytea[]', (m) => m.content.bytes)},
    ${column('text[]', (m) => m.headers)}, ${column('timestamptz[]', (m) => m.due.at)}, ${column('float8[]', (m) => m.due.delayMs)})
    with ordinality as m (branch, destination, target, key, payload, body, headers, due_at, delay_ms, position)
  order by m.position
)`
}

class Parameters {
  readonly values: string[] = []

  add(value: string, type: string): string {
    this.values.push(value)
    return `$${this.values.length}::${type}`
  }
}

function columnsOf<Message>(messages: readonly Message[], parameters: Parameters) {
  return (type: string, value: (message: Message) => ArrayItem | undefined): string =>
    parameters.add(arrayLiteral(messages.map((message) => value(message) ?? null)), type)
}
