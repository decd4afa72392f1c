import type { Settlement } from '../../engine/settle.ts'
import type { Queryable } from '../queryable.ts'

/** A settlement, and the claim under which it was reached. */
export interface SettledDelivery {
  readonly id: string
  readonly token: string
  readonly settlement: Settlement
  readonly durationMs: number
}

/** A settlement that was written. */
export interface Recorded {
  readonly id: string
  /** From the insert in the business transaction until now, by the database's clock. */
  readonly ageMs: number
}

/**
 * Writes what became of many deliveries in one commit: one fsync for all of them is what lets ten thousand a second
 * through where single updates stop at five.
 *
 * Only where the claim still stands: a row that was taken over, requeued or discarded meanwhile is not in the answer.
 * Failures leave a row in `attempt`; what was withheld was not tried. Where a row with a key is confirmed, `releaseSuccessors` must follow.
 *
 * Plan, 500 results: Function Scan, Nested Loop over the primary key, 500 updates, none of them HOT (the state is in
 * the condition of four indexes): 6 ms on an idle machine. Needs the settings of DISPATCHER_OPTIONS: a plan that was made
 * while the table was small, a hash join with a sequential scan, would stay in use until the next ANALYZE.
 */
export async function recordSettlements(
  client: Queryable,
  relay: string,
  settled: readonly SettledDelivery[],
): Promise<readonly Recorded[]> {
  const column = <T>(value: (delivery: SettledDelivery) => T): T[] => settled.map(value)
  const { rows } = await client.query<Recorded>({
    name: 'postcommit_record_settlements',
    text: `with result as (
  select * from unnest($2::bigint[], $3::uuid[], $4::text[], $5::text[], $6::int[], $7::int[], $8::float8[], $9::int[],
    $10::text[]) as r (id, token, event, error, status, attempts, due_in_ms, duration_ms, withheld_by)
), written as (
  update postcommit.delivery d set
    state = case r.event when 'confirmed' then 'confirmed' when 'dead' then 'dead' else 'pending' end,
    due_at = clock_timestamp() + r.due_in_ms * interval '1 millisecond',
    attempts = coalesce(r.attempts, d.attempts),
    lease_token = null, lease_owner = null, lease_until = null,
    last_error = r.error, last_status = r.status, withheld_by = r.withheld_by,
    settled_at = case r.event when 'confirmed' then clock_timestamp() end
  from result r where d.id = r.id and d.lease_token = r.token
  returning d.id, d.attempts, d.created_at, r.event, r.error, r.status, r.duration_ms
), told as (
  insert into postcommit.attempt (delivery_id, event, attempt, duration_ms, status, detail, actor)
  select id, event, attempts, duration_ms, status, error, $1 from written where event not in ('confirmed', 'withheld')
)
select id, extract(epoch from clock_timestamp() - created_at)::float8 * 1000 as "ageMs" from written`,
    values: [
      relay,
      column(({ id }) => id),
      column(({ token }) => token),
      column(({ settlement }) => settlement.event),
      column(({ settlement }) => ('error' in settlement ? settlement.error : null)),
      column(({ settlement }) => settlement.status ?? null),
      column(({ settlement }) => ('attempts' in settlement ? settlement.attempts : null)),
      column(({ settlement }) => ('dueInMs' in settlement ? settlement.dueInMs : 0)),
      column(({ durationMs }) => Math.round(durationMs)),
      column(({ settlement }) => ('withheldBy' in settlement ? (settlement.withheldBy ?? null) : null)),
    ],
  })
  return rows
}
