import type { Queryable } from './queryable.ts'

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
}

/** How much of a destination may be claimed now. */
export interface FreeSlots {
  readonly destination: string
  readonly free: number
}

/**
 * Claims the oldest due deliveries of several destinations, for each as many as can be sent at once.
 *
 * SKIP LOCKED lets any number of relays claim side by side. A claim is a token and a due time after which the row is
 * simply due again, so a claim of a process that vanished needs no sweep.
 *
 * Order per key: a row is claimed only if no earlier row of its destination and key is unsettled, dead ones included.
 * That the earlier row is visible by now is the commit's doing: it holds the lock of the key until COMMIT, so ids of a
 * key rise in the order of commits. Rows found behind another become `held`; otherwise the thousand followers of a
 * failing head would be scanned again at every claim. They are released when their head settles, or by `releaseHeld`.
 *
 * A relay that has been buried claims nothing: rows in the name of nobody would wait until their claim runs out.
 *
 * Plan, per destination: index scan on delivery_due, stopped by LIMIT; for keyed rows one probe of delivery_head.
 */
export async function claimDue(
  client: Queryable,
  relay: string,
  token: string,
  leaseMs: number,
  slots: readonly FreeSlots[],
): Promise<readonly ClaimedDelivery[]> {
  const { rows } = await client.query<ClaimedDelivery & { claimed: boolean }>({
    name: 'postcommit_claim_due',
    text: `with due as materialized (
  select picked.id, picked.destination, picked.key,
    picked.key is not null and exists (
      select 1 from postcommit.delivery earlier
      where earlier.destination = picked.destination and earlier.key = picked.key and earlier.id < picked.id
        and earlier.state in ('pending', 'held', 'dead')
    ) as behind
  from (select from postcommit.relay where id = $1::bigint) alive
  cross join unnest($4::text[], $5::int[]) as slot (destination, free)
  cross join lateral (
    select id, destination, key from postcommit.delivery
    where destination = slot.destination and state = 'pending' and due_at <= clock_timestamp()
    order by due_at, id limit slot.free
    for update skip locked
  ) picked
), held as (
  update postcommit.delivery d set state = 'held', lease_token = null, lease_owner = null
  from due where d.id = due.id and due.behind
)
update postcommit.delivery d set lease_token = $2::uuid, lease_owner = $1::bigint,
  due_at = clock_timestamp() + $3 * interval '1 millisecond'
from due where d.id = due.id and not due.behind
returning d.id, d.gid, d.branch, d.destination, d.target, d.key, d.payload, d.body, d.headers, d.attempts`,
    values: [relay, token, leaseMs, slots.map(({ destination }) => destination), slots.map(({ free }) => free)],
  })
  return rows
}
