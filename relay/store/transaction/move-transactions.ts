import type { Mode, Status } from '../../engine/transaction/transaction.ts'
import type { Queryable } from '../queryable.ts'
import { byKey } from './insert-transactions.ts'
import type { TransactionKey } from './transaction-row.ts'

/** One line of the table of events: what an event makes of a transaction of a mode and a status. */
export interface MoveRule {
  readonly event: string
  readonly mode: Mode
  readonly from: Status
  readonly to: Status
}

/** Something that happened to a transaction from outside: a client gave it up, a person decided. */
export interface Move extends TransactionKey {
  /** Which rules apply. */
  readonly event: string
  readonly rollbackReason?: string | undefined
  readonly result?: string | undefined
  /** The counter that was seen, if the decision depends on what the branches did; undefined: it does not. */
  readonly seq?: number | undefined
  /** For a person's act: who, why, and what the story calls it. */
  readonly act?: { readonly actor: string; readonly reason: string; readonly event: 'stopped' | 'resolved' } | undefined
}

/** A move that was made. */
export interface Moved {
  readonly id: string
  readonly from: Status
  readonly status: Status
}

/**
 * Moves many transactions from one status to another, each by the rules for its event: a compare-and-set of mode and
 * status. The rules come with the call because they are the engine's: no decision is written down twice. What is moved
 * is due at once, and a claim on it ends, so that what its relay still finds out changes nothing.
 *
 * Resolves to the moves that were made, by their place; a move that lost a race is missing, also if a rule would let it
 * go on from what won: ask for the state, and move again.
 *
 * Plan, 100,000 rows, 100 moves: Nested Loop, Function Scan, Index Scan on global_transaction_gid, the rules joined in
 * memory; 100 updates: 5 ms.
 */
export async function moveTransactions(
  client: Queryable,
  moves: readonly Move[],
  rules: readonly MoveRule[],
): Promise<ReadonlyMap<Move, Moved>> {
  const sorted = moves.toSorted(byKey)
  const column = <T>(value: (move: Move) => T): T[] => sorted.map(value)
  const { rows } = await client.query<Moved & { readonly n: number }>({
    name: 'postcommit_move_transactions',
    text: `with moved as (
  update postcommit.global_transaction t set status = rule.destination,
    rollback_reason = coalesce(r.rollback_reason, t.rollback_reason), result = coalesce(r.result, t.result),
    due_at = clock_timestamp(), backoff_ms = null, lease_token = null, lease_owner = null, paused_reason = null,
    updated_at = clock_timestamp(),
    finished_at = case when rule.destination in ('succeed', 'failed') then clock_timestamp() end
  from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::int[]) with ordinality
    as r (tenant, gid, event, rollback_reason, result, seq, n),
    unnest($7::text[], $8::text[], $9::text[], $10::text[]) as rule (event, mode, origin, destination)
  where t.tenant = r.tenant and t.gid = r.gid and rule.event = r.event and rule.mode = t.mode and rule.origin = t.status
    and (r.seq is null or r.seq = t.seq)
  returning r.n, t.id, rule.origin, t.status
), told as (
  insert into postcommit.branch_attempt (transaction_id, event, attempt, detail, actor)
  select moved.id, act.event, 0, act.reason, act.actor
  from unnest($11::int[], $12::text[], $13::text[], $14::text[]) as act (n, event, reason, actor)
  join moved on moved.n = act.n
)
select n::int, id, origin as "from", status from moved`,
    values: [
      column(({ tenant }) => tenant),
      column(({ gid }) => gid),
      column(({ event }) => event),
      column(({ rollbackReason }) => rollbackReason ?? null),
      column(({ result }) => result ?? null),
      column(({ seq }) => seq ?? null),
      rules.map(({ event }) => event),
      rules.map(({ mode }) => mode),
      rules.map(({ from }) => from),
      rules.map(({ to }) => to),
      ...actValues(sorted),
    ],
  })
  const moved = new Map<Move, Moved>()
  for (const { n, ...move } of rows) {
    const asked = sorted[n - 1]
    if (asked !== undefined) moved.set(asked, move)
  }
  return moved
}

function actValues(moves: readonly Move[]): unknown[] {
  const acts = moves.flatMap(({ act }, index) => (act === undefined ? [] : { ...act, n: index + 1 }))
  return [
    acts.map(({ n }) => n),
    acts.map(({ event }) => event),
    acts.map(({ reason }) => reason),
    acts.map(({ actor }) => actor),
  ]
}
