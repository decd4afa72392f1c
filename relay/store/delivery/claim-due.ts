import type { Queryable } from '../queryable.ts'

/** A delivery that this relay holds until it is settled or its claim runs out. */
export interface ClaimedDelivery {
  readonly id: string
  readonly gid: string
  readonly branch: number
  readonly destination: string
  readonly target: string
  readonly key: string | null
  readonly payload: string | null
  readonly body: Buffer | null
  readonly headers: string | null
  readonly attempts: number
  /** The subject or stream for which it had to wait. */
  readonly withheldBy: string | null
  /** Of its content. */
  readonly bytes: number
}

/** How much of a destination may be claimed now. */
export interface FreeSlots {
  readonly destination: string
  readonly free: number
  /** How many bytes their contents may be; the first may be larger. */
  readonly bytes?: number
}

const CONTENT_BYTES = 'coalesce(octet_length(d.payload), octet_length(d.body), 0)'
const UNLIMITED_BYTES = 2 ** 40

/** What a claim found. */
export interface Claimed {
  readonly deliveries: readonly ClaimedDelivery[]
  /** Due rows that were found behind an earlier row of their key and put aside. */
  readonly held: number
}

/**
 * Claims the oldest due deliveries of several destinations, for each as many as can be sent at once.
 *
 * `due`: SKIP LOCKED lets any number of relays claim side by side. A claim is a token and a time after which the row is
 * simply due again, so a claim of a process that vanished needs no sweep. The comparison is with
 * statement_timestamp(), which cannot change during the scan: clock_timestamp() can, so PostgreSQL would not use it as
 * an index condition and would read past every row that is due later. A relay that has been buried claims nothing: rows
 * in the name of nobody would wait until their claim runs out.
 *
 * `judged`: order per key. A row is claimed only if no earlier row of its destination and key is unsettled, dead ones
 * included. That the earlier row is visible by now is the commit's doing: it holds the lock of the key until COMMIT, so
 * ids of a key rise in the order of commits.
 *
 * `blocked`, `held`: rows found behind another become `held`; otherwise the thousand followers of a failing head would
 * be scanned again at every claim. A row may only become held while its predecessor is certain to be there still: the
 * lock on it keeps it from settling until this commits, and a predecessor that has just settled fails the state
 * condition when the lock is taken on its newest version. Without the lock the head could settle and look for its
 * successor a moment before the successor is held, and nobody would ever release it. Nothing here waits for a lock, so
 * nothing here can deadlock. `heads` counts `blocked` so that heads are locked as predecessors before they are claimed:
 * the other way round the statement would trip over its own update.
 *
 * `heads` are also limited by what their contents weigh, which is known without reading them. Hundreds of megabytes would
 * otherwise be claimed at once, and end the process.
 *
 * `noted`, `forgotten`: the claim itself, one row for all its deliveries, for whoever has to take it back.
 *
 * @param finished - tokens of earlier claims under which nothing is held any more
 * @param depth - how many due rows to look at if that is more than are free: digs through followers faster
 *
 * Plan, 100,000 rows of which 40,000 unsettled, 4 destinations of 32 free slots, 992 rows of each under way: Index Scan
 * on delivery_due with both conditions, which reads past what is under way (0.4 µs a row) and is stopped by LIMIT; for
 * keyed rows an Index Only Scan of delivery_head; the update by primary key. 2.6 ms, of which 0.9 ms write the 128 claims.
 * Nothing due: 0.3 ms (with clock_timestamp() 35 ms, 40,000 rows filtered).
 *
 * The claims are HOT updates, because no index holds a column that they change. PostgreSQL's time a row in batches of
 * 128, 900 under way: 12 µs for the claim, 16 for its confirmation. With the claim in `due_at` and an index on the owner:
 * 22 and 18; in a column of its own but with a fillfactor of 80: 23 and 17, most new versions find no room on their page;
 * in a table with a row for each claimed delivery: 17 to 23 and 19 to 24.
 */
export async function claimDue(
  client: Queryable,
  relay: string,
  token: string,
  leaseMs: number,
  slots: readonly FreeSlots[],
  depth = 0,
  finished: readonly string[] = [],
): Promise<Claimed> {
  const { rows } = await client.query<Row>({
    name: 'postcommit_claim_due',
    text: CLAIM,
    values: [
      relay,
      token,
      leaseMs,
      slots.map(({ destination }) => destination),
      slots.map(({ free }) => free),
      depth,
      finished,
      slots.map(({ bytes = UNLIMITED_BYTES }) => bytes),
    ],
  })
  return { deliveries: rows.filter(isDelivery), held: rows[0]?.held ?? 0 }
}

const CLAIM = `with due as materialized (
  select picked.*, slot.free, slot.bytes
  from (select from postcommit.relay where id = $1::bigint) alive
  cross join unnest($4::text[], $5::int[], $8::int8[]) as slot (destination, free, bytes)
  cross join lateral (
    select id, destination, key, due_at, ${CONTENT_BYTES} as size from postcommit.delivery d
    where destination = slot.destination and state = 'pending' and due_at <= statement_timestamp()
      and (lease_until is null or lease_until <= statement_timestamp())
    order by due_at, id limit greatest(slot.free, $6::int)
    for update skip locked
  ) picked
), judged as materialized (
  select due.*, due.key is not null and exists (
    select from postcommit.delivery earlier
    where earlier.destination = due.destination and earlier.key = due.key and earlier.id < due.id
      and earlier.state in ('pending', 'held', 'dead')
  ) as behind
  from due
), blocked as materialized (
  select judged.id from judged cross join lateral (
    select from postcommit.delivery earlier
    where earlier.destination = judged.destination and earlier.key = judged.key and earlier.id < judged.id
      and earlier.state in ('pending', 'held', 'dead')
    order by earlier.id limit 1
    for no key update skip locked
  ) predecessor
  where judged.behind
), held as (
  update postcommit.delivery d set state = 'held', lease_token = null, lease_owner = null, lease_until = null
  from blocked where d.id = blocked.id
), heads as (
  select id from (
    select id, free, bytes, row_number() over line as place, sum(size) over line - size as ahead
    from judged where not behind and (select count(*) from blocked) >= 0
    window line as (partition by destination order by due_at, id rows unbounded preceding)
  ) ranked where place <= free and ahead < bytes
), claimed as (
  update postcommit.delivery d set lease_token = $2::uuid, lease_owner = $1::bigint,
    lease_until = statement_timestamp() + $3 * interval '1 millisecond'
  from heads where d.id = heads.id
  returning d.id, d.gid, d.branch, d.destination, d.target, d.key, d.payload, d.body, d.headers, d.attempts,
    d.withheld_by as "withheldBy", ${CONTENT_BYTES} as bytes
), noted as (
  insert into postcommit.claim (token, relay, until, deliveries)
  select $2::uuid, $1::bigint, statement_timestamp() + $3 * interval '1 millisecond', array_agg(id)
  from claimed having count(*) > 0
), forgotten as (delete from postcommit.claim where token = any($7::uuid[]))
select (select count(*)::int from blocked) as held, claimed.*
from (select set_config('synchronous_commit', 'off', true) offset 0) asynchronous left join claimed on true`

type Row = { readonly held: number } & (ClaimedDelivery | { readonly id: null })

function isDelivery(row: Row): row is Row & ClaimedDelivery {
  return row.id !== null
}
