import type { Queryable } from '../queryable.ts'

/** How far a shard has got. */
export interface PositionUpdate {
  /** Everything visible in it has been handed on. */
  readonly snapshot: string
  readonly low: bigint
  /** While a frozen window is worked off: its snapshot, and the id up to which it is done. */
  readonly window: { readonly snapshot: string; readonly id: string } | undefined
  /** The newest acknowledgement. */
  readonly ack: { readonly stream: string; readonly sequence: number; readonly messageId: string } | undefined
}

/** A message that is set aside: it moves from the log to `delivery`, under the id it had. */
export interface ParkedMessage {
  readonly id: string
  readonly error: string
  /** The subject or stream that takes nothing at the moment; releasing it makes the message due. */
  readonly withheldBy?: string
  /** When it is due unless it is released before; at once if not given. */
  readonly dueInMs?: number
  /** It is none that may ever be sent: a dead letter at once. Without its key where that is what is wrong with it. */
  readonly dead?: { readonly keepsKey: boolean } | undefined
}

/**
 * Saves a position and sets messages aside, both or neither, and only while `epoch` stands: an owner that was
 * declared dead, however long it slept, changes nothing. Resolves to the xid of the save, or undefined if fenced.
 *
 * Parked rows keep their id, so their place in the order of their key, and parking twice is harmless. Only if another
 * message has that id already, from a sequence that was set back, they get a new one. What stands in a row must fit into
 * `delivery`, or the shard would stand still before it: a key too long for delivery_head is left out. Run with
 * synchronous_commit = off: losing a save in a crash only publishes again what JetStream then recognises.
 *
 * Plan: primary key update (HOT, fillfactor 50); the parked rows by primary key of their partitions.
 */
export async function savePosition(
  client: Queryable,
  shard: number,
  epoch: string,
  update: PositionUpdate,
  parked: readonly ParkedMessage[],
): Promise<bigint | undefined> {
  const { snapshot, low, window, ack } = update
  const { rows } = await client.query<{ xid: string }>({
    name: parked.length === 0 ? 'postcommit_save_position' : 'postcommit_save_position_and_park',
    text: `with saved as (
  update postcommit.position set snapshot = $3::pg_snapshot, low = $4, window_snapshot = $5::pg_snapshot, window_id = $6,
    stream = coalesce($7, stream), stream_sequence = coalesce($8, stream_sequence),
    message_id = coalesce($9, message_id), saved_at = clock_timestamp()
  where shard = $1 and epoch = $2
  returning pg_current_xact_id()::text as xid, owner
)${parked.length === 0 ? '' : PARK}
select xid from saved`,
    values: [
      shard,
      epoch,
      snapshot,
      low.toString(),
      window?.snapshot ?? null,
      window?.id ?? null,
      ack?.stream ?? null,
      ack?.sequence ?? null,
      ack?.messageId ?? null,
      ...(parked.length === 0
        ? []
        : [
            parked.map(({ id }) => id),
            parked.map(({ error }) => error),
            parked.map(({ withheldBy }) => withheldBy ?? null),
            parked.map(({ dueInMs }) => dueInMs ?? 0),
            parked.map(({ dead }) => dead !== undefined),
            parked.map(({ dead }) => dead?.keepsKey ?? true),
          ]),
    ],
  })
  return rows[0] === undefined ? undefined : BigInt(rows[0].xid)
}

const PARK = `, parked as (
  insert into postcommit.delivery (id, gid, branch, destination, target, key, slot, payload, body, headers, created_at, state,
    last_error, withheld_by, due_at)
  select case when taken then nextval('postcommit.outbox_id') else log.id end, log.gid, log.branch, 'nats', log.topic,
    case when p.keeps_key then log.key end, log.slot, log.payload, log.body, log.headers, log.created_at,
    case when p.is_dead then 'dead' else 'pending' end, p.error, p.withheld_by,
    clock_timestamp() + p.due_in_ms * interval '1 millisecond'
  from unnest($10::bigint[], $11::text[], $12::text[], $13::float8[], $14::bool[], $15::bool[])
    as p (id, error, withheld_by, due_in_ms, is_dead, keeps_key)
    join postcommit.outbox log on log.id = p.id
    cross join lateral (select exists (
      select from postcommit.delivery d where d.id = log.id and (d.gid, d.branch) <> (log.gid, log.branch)
    ) as taken) other
  where exists (select 1 from saved)
  on conflict (id) do nothing
  returning id, state, last_error
), told as (
  insert into postcommit.attempt (delivery_id, event, attempt, detail, actor)
  select id, 'dead', 0, last_error, coalesce((select owner::text from saved), '') from parked where state = 'dead'
)`
