import type { OpStatus } from '../../engine/transaction/op.ts'
import type { Status } from '../../engine/transaction/transaction.ts'
import type { Queryable } from '../queryable.ts'
import { type ColumnValue, column } from './column.ts'
import { contentValues } from './operation-columns.ts'
import type { OperationContent } from './transaction-row.ts'

/** What became of one op, or that it is about to be called. */
export interface OperationProgress {
  readonly branch: string
  readonly op: string
  /** As it is from now on. */
  readonly status: OpStatus
  /** Undefined: as it was. */
  readonly startSeq?: number | undefined
  readonly endSeq?: number | undefined
  readonly calls: number
  readonly attempts: number
  /** A call is begun, and waited for until then, by the database's clock; undefined: none is under way. */
  readonly leaseUntilMs?: number | undefined
  /** When it is tried again; undefined: as soon as its turn comes. */
  readonly dueAtMs?: number | undefined
  readonly httpStatus?: number | undefined
  readonly error?: string | undefined
  readonly durationMs?: number | undefined
  readonly result?: Buffer | undefined
  /** What its story is told; undefined: nothing, the row says it all. */
  readonly event?: 'failed' | 'ongoing' | 'unavailable' | 'refused' | 'alarm' | undefined
}

/** What a relay found out about a transaction that it has claimed. */
export interface Progress {
  readonly id: string
  readonly token: string
  /** As they were when this was decided. */
  readonly from: Status
  readonly opCount: number
  /** As it is from now on: the same as `from` if nothing was decided. */
  readonly to: Status
  readonly seq: number
  /** Undefined: the claim goes on as it is. Otherwise it ends, and the transaction is due then, by the database's clock. */
  readonly dueAtMs?: number | undefined
  readonly backoffMs?: number | undefined
  /** Questions without a verdict so far. */
  readonly asked: number
  readonly result?: string | undefined
  readonly rollbackReason?: string | undefined
  readonly error?: string | undefined
  /** What the story of the transaction itself is told, with the answer to a question. */
  readonly event?: 'asked' | 'alarm' | undefined
  readonly httpStatus?: number | undefined
  readonly durationMs?: number | undefined
  readonly operations: readonly OperationProgress[]
  /** Ops that only turned out now: the branches of a topic, one for each of its subscriptions. */
  readonly added?: readonly OperationContent[] | undefined
}

/**
 * Writes what became of many transactions and of the calls they made, in one commit: outcomes, the transition that
 * follows from them, and when to go on, together or not at all. A crash cannot leave an outcome without its decision,
 * nor a decision without the outcomes it was made from.
 *
 * Only where the claim still stands, the status is the one the decision was made from, and no branch was registered
 * meanwhile; resolves to the ids of those. Of the others nothing is written, the outcomes of their calls neither: who
 * took over calls again, and the barriers of the services make it harmless.
 *
 * An op that has an outcome keeps it. `(... in (select ...)) is true` stays a hashed subplan, see `insertTransactions`.
 *
 * Plan, 100,000 rows, 100 transactions with 100 ops: Nested Loops, Function Scans, Index Scans on
 * global_transaction_pkey and branch_pkey; the ops are HOT updates, the transactions only as long as their claim goes
 * on: 4 ms, 1,300 buffers.
 */
export async function recordProgress(
  client: Queryable,
  relay: string,
  progress: readonly Progress[],
): Promise<ReadonlySet<string>> {
  const sorted = progress.toSorted((a, b) => Number(BigInt(a.id) - BigInt(b.id)))
  const { rows } = await client.query<{ id: string }>({
    name: 'postcommit_record_progress',
    text: TEXT,
    values: [relay, ...transactionValues(sorted), ...outcomeValues(sorted), ...addedValues(sorted)],
  })
  return new Set(rows.map(({ id }) => id))
}

const TEXT = `with change as materialized (
  select * from unnest($2::bigint[], $3::uuid[], $4::text[], $5::int[], $6::text[], $7::int[], $8::float8[], $9::int[],
    $10::int[], $11::text[], $12::text[], $13::text[], $14::text[], $15::int[], $16::int[],
    $17::int[])
    as c (id, token, origin, op_count, destination, seq, due_at_ms, backoff_ms, asked, result, rollback_reason, error,
      event, http_status, duration_ms, added)
), moved as (
  update postcommit.global_transaction t set status = c.destination, seq = c.seq, asked = c.asked,
    op_count = t.op_count + c.added,
    due_at = coalesce(to_timestamp(c.due_at_ms / 1000), t.due_at),
    backoff_ms = c.backoff_ms, last_error = c.error, result = coalesce(c.result, t.result),
    rollback_reason = coalesce(c.rollback_reason, t.rollback_reason), updated_at = clock_timestamp(),
    finished_at = case when c.destination in ('succeed', 'failed') then clock_timestamp() end,
    lease_token = case when c.due_at_ms is null and c.destination not in ('succeed', 'failed') then t.lease_token end,
    lease_owner = case when c.due_at_ms is null and c.destination not in ('succeed', 'failed') then t.lease_owner end
  from change c
  where t.id = c.id and t.lease_token = c.token and t.status = c.origin and t.op_count = c.op_count
  returning t.id
), outcome as materialized (
  select * from unnest($18::bigint[], $19::text[], $20::text[], $21::text[], $22::int[], $23::int[], $24::int[],
    $25::float8[], $26::int[], $27::text[], $28::int[], $29::bytea[], $30::text[], $31::int[], $32::float8[])
    as o (id, branch, op, status, start_seq, end_seq, attempts, due_at_ms, http_status, error, duration_ms, result,
      event, calls, lease_until_ms)
  where (o.id in (select id from moved)) is true
), called as (
  update postcommit.branch b set status = o.status, start_seq = coalesce(o.start_seq, b.start_seq),
    end_seq = coalesce(o.end_seq, b.end_seq), attempts = o.attempts,
    calls = o.calls,
    due_at = to_timestamp(o.due_at_ms / 1000), lease_until = to_timestamp(o.lease_until_ms / 1000), last_status = o.http_status,
    last_error = o.error, duration_ms = o.duration_ms, result = coalesce(o.result, b.result),
    updated_at = clock_timestamp(), finished_at = case when o.status <> 'prepared' then clock_timestamp() end
  from outcome o
  where b.transaction_id = o.id and b.branch = o.branch and b.op = o.op and b.status = 'prepared'
), grown as (
  insert into postcommit.branch (transaction_id, branch, op, place, target, payload, body, options, after, recovery)
  select id, branch, op, place, target, payload, body, options, after::text[], recovery
  from unnest($33::bigint[], $34::text[], $35::text[], $36::int[], $37::text[], $38::text[], $39::bytea[], $40::text[],
    $41::text[], $42::text[]) as g (id, branch, op, place, target, payload, body, options, after, recovery)
  where (id in (select id from moved)) is true
), told as (
  insert into postcommit.branch_attempt
    (transaction_id, branch, op, event, attempt, duration_ms, status, detail, actor)
  select id, branch, op, event, attempts, duration_ms, http_status, error, $1 from outcome where event is not null
  union all
  select id, null, null, event, asked, duration_ms, http_status, error, $1 from change
  where event is not null and (id in (select id from moved)) is true
)
select id from moved`

function transactionValues(progress: readonly Progress[]): unknown[] {
  const of = (value: (change: Progress) => ColumnValue) => column(progress, value)
  return [
    of(({ id }) => id),
    of(({ token }) => token),
    of(({ from }) => from),
    of(({ opCount }) => opCount),
    of(({ to }) => to),
    of(({ seq }) => seq),
    of(({ dueAtMs }) => dueAtMs),
    of(({ backoffMs }) => backoffMs),
    of(({ asked }) => asked),
    of(({ result }) => result),
    of(({ rollbackReason }) => rollbackReason),
    of(({ error }) => error),
    of(({ event }) => event),
    of(({ httpStatus }) => httpStatus),
    of(({ durationMs }) => rounded(durationMs)),
    of(({ added = [] }) => added.length),
  ]
}

function addedValues(progress: readonly Progress[]): unknown[] {
  const all = progress.flatMap(({ id, opCount, added = [] }) =>
    added.map((operation, index) => ({ operation, id, place: opCount + index })),
  )
  return [column(all, ({ id }) => id), ...contentValues(all)]
}

function outcomeValues(progress: readonly Progress[]): unknown[] {
  const all = progress.flatMap(({ id, operations }) => operations.map((operation) => ({ operation, id })))
  const of = (value: (operation: OperationProgress) => ColumnValue) => column(all, ({ operation }) => value(operation))
  return [
    column(all, ({ id }) => id),
    of(({ branch }) => branch),
    of(({ op }) => op),
    of(({ status }) => status),
    of(({ startSeq }) => startSeq),
    of(({ endSeq }) => endSeq),
    of(({ attempts }) => attempts),
    of(({ dueAtMs }) => dueAtMs),
    of(({ httpStatus }) => httpStatus),
    of(({ error }) => error),
    of(({ durationMs }) => rounded(durationMs)),
    of(({ result }) => result),
    of(({ event }) => event),
    of(({ calls }) => calls),
    of(({ leaseUntilMs }) => leaseUntilMs),
  ]
}

function rounded(ms: number | undefined): number | undefined {
  return ms === undefined ? undefined : Math.round(ms)
}
