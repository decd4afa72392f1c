import type { Mode } from '../../engine/transaction/transaction.ts'
import type { Queryable } from '../queryable.ts'
import { type ColumnValue, column } from './column.ts'
import { contentValues } from './operation-columns.ts'
import type { OperationContent, RunBy, TransactionClaim, TransactionKey } from './transaction-row.ts'

/** A transaction that is handed in. */
export interface NewTransaction extends TransactionKey {
  readonly mode: Mode
  readonly status: 'prepared' | 'submitted'
  readonly runBy: RunBy
  readonly key?: string | undefined
  readonly dialect: string
  readonly protocol: string
  /** SHA-256 of what was handed in. */
  readonly digest: string
  readonly checkDestination: string
  readonly checkTarget?: string | undefined
  readonly options?: string | undefined
  readonly customData?: string | undefined
  /** The counter of starts and ends, if ops are handed in as started. */
  readonly seq: number
  readonly deadlineInMs?: number | undefined
  /** Until it is asked about, or begun; if it is claimed at once, the lease decides instead. */
  readonly dueInMs: number
  /** Until it may be asked about, whoever is in a hurry; undefined: at any time. */
  readonly askFromInMs?: number | undefined
  /** For a submitted one that this relay begins without further ado. */
  readonly claim?: TransactionClaim | undefined
  /** Messages that go to the outbox when they are decided, as JSON; undefined: it has ops of its own. */
  readonly content?: string | undefined
  /** The ordering keys of `content`, each once. */
  readonly keys?: readonly string[]
  readonly operations: readonly OperationContent[]
}

/** A transaction that was written. */
export interface InsertedTransaction {
  readonly id: string
  /** False as well if it was to be claimed by a relay that has been buried: then nothing of it is begun. */
  readonly claimed: boolean
}

/**
 * Writes many transactions with their branches, prepared ones and submitted ones side by side; resolves to what became of
 * them in the order given, undefined where the gid was there already: who is told what then is not decided here.
 *
 * A gid that another transaction is just inserting makes it wait for that transaction's end; a gid given twice counts
 * once. To keep two relays with the same gids in different orders from waiting for each other, requests are sorted.
 *
 * `drawn`: the ids come as an array, so that a branch finds the id of its transaction by its place, without a join.
 * With the settings of DISPATCHER_OPTIONS that join would be a nested loop over both lists, a quarter of a million
 * comparisons for 500 transactions. For the same reason `(... in (select ...)) is true`: so written it stays a hashed
 * subplan, without `is true` it would become that join. The branches of a conflicting request are not written because
 * its id is not among the created.
 *
 * A claim is one of a relay that has a row, as everywhere: what a buried one takes in is due at once, for the others.
 *
 * Plan: Function Scans and Inserts; each transaction's place in three indexes (id, gid, due or check), each branch's in
 * one. 100,000 rows, 100 more with one branch: 3 ms, 1,300 buffers.
 */
export async function insertTransactions(
  client: Queryable,
  transactions: readonly NewTransaction[],
): Promise<readonly (InsertedTransaction | undefined)[]> {
  const order = transactions.map((_, index) => index).toSorted((a, b) => byKey(transactions[a], transactions[b]))
  const sorted = order.flatMap((index) => transactions[index] ?? [])
  const { rows } = await client.query<{ n: number; id: string; claimed: boolean }>({
    name: 'postcommit_insert_transactions',
    text: TEXT,
    values: [
      ...transactionValues(sorted),
      ...operationValues(sorted.map(({ operations }) => operations)),
      ...keyValues(sorted),
    ],
  })
  const inserted: (InsertedTransaction | undefined)[] = transactions.map(() => undefined)
  for (const { n, id, claimed } of rows) {
    const index = order[n - 1]
    if (index !== undefined) inserted[index] = { id, claimed }
  }
  return inserted
}

/** The order in which every statement touches the rows of many transactions. */
export function byKey(a: TransactionKey | undefined, b: TransactionKey | undefined): number {
  if (a === undefined || b === undefined) return 0
  if (a.tenant !== b.tenant) return a.tenant < b.tenant ? -1 : 1
  return a.gid < b.gid ? -1 : a.gid > b.gid ? 1 : 0
}

const TEXT = `with drawn as materialized (
  select array_agg(nextval('postcommit.global_transaction_id')) as ids from generate_series(1, cardinality($1::text[]))
), created as (
  insert into postcommit.global_transaction (id, tenant, gid, mode, status, dialect, protocol, digest,
    check_destination, check_target, options, custom_data, seq, op_count, deadline, due_at, lease_token, lease_owner,
    run_by, key, ask_from, content)
  select drawn.ids[r.n], tenant, gid, mode, status, dialect, protocol, digest, check_destination, check_target, options,
    custom_data, seq, op_count, clock_timestamp() + deadline_in_ms * interval '1 millisecond',
    clock_timestamp() + case when claim.stands then lease_ms else due_in_ms end * interval '1 millisecond',
    case when claim.stands then lease_token end, case when claim.stands then lease_owner end, run_by, key,
    clock_timestamp() + ask_from_in_ms * interval '1 millisecond', content
  from drawn cross join unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
    $8::text[], $9::text[], $10::text[], $11::text[], $12::int[], $13::int[], $14::float8[], $15::float8[],
    $16::uuid[], $17::bigint[], $18::text[], $19::text[], $20::float8[], $21::float8[], $34::text[]) with ordinality
    as r (tenant, gid, mode, status, dialect, protocol, digest, check_destination, check_target, options, custom_data, seq,
    op_count, deadline_in_ms, due_in_ms, lease_token, lease_owner, run_by, key, lease_ms, ask_from_in_ms, content, n)
  cross join lateral (select (lease_owner in (select id from postcommit.relay)) is true) as claim (stands)
  on conflict (tenant, gid) do nothing
  returning id, lease_token
), written as (
  insert into postcommit.branch
    (transaction_id, branch, op, place, target, payload, body, options, after, recovery, start_seq, calls, lease_until)
  select drawn.ids[o.n], branch, op, place, target, payload, body, options, after::text[], recovery,
    case when op_call.begun then start_seq end, op_call.begun::int,
    case when op_call.begun then clock_timestamp() + lease_ms * interval '1 millisecond' end
  from drawn cross join unnest($22::int[], $23::text[], $24::text[], $25::int[], $26::text[], $27::text[], $28::bytea[],
    $29::text[], $30::text[], $31::text[], $32::int[], $33::float8[])
    as o (n, branch, op, place, target, payload, body, options, after, recovery, start_seq, lease_ms)
  cross join lateral (
    select lease_ms is not null and (drawn.ids[o.n] in (select id from created where lease_token is not null)) is true
  ) as op_call (begun)
  where (drawn.ids[o.n] in (select id from created)) is true
), keyed as (
  insert into postcommit.prepared_key (tenant, key, transaction_id)
  select ($1::text[])[k.n], k.key, drawn.ids[k.n] from drawn cross join unnest($35::int[], $36::text[]) as k (n, key)
  where (drawn.ids[k.n] in (select id from created)) is true
)
select n, drawn.ids[n]::text as id,
  (drawn.ids[n] in (select id from created where lease_token is not null)) is true as claimed
from drawn cross join generate_series(1, cardinality($1::text[])) as n
where (drawn.ids[n] in (select id from created)) is true`

function transactionValues(transactions: readonly NewTransaction[]): unknown[] {
  const of = (value: (transaction: NewTransaction) => ColumnValue) => column(transactions, value)
  return [
    of(({ tenant }) => tenant),
    of(({ gid }) => gid),
    of(({ mode }) => mode),
    of(({ status }) => status),
    of(({ dialect }) => dialect),
    of(({ protocol }) => protocol),
    of(({ digest }) => digest),
    of(({ checkDestination }) => checkDestination),
    of(({ checkTarget }) => checkTarget),
    of(({ options }) => options),
    of(({ customData }) => customData),
    of(({ seq }) => seq),
    of(({ operations }) => operations.length),
    of(({ deadlineInMs }) => deadlineInMs),
    of(({ dueInMs }) => dueInMs),
    of(({ claim }) => claim?.token),
    of(({ claim }) => claim?.relay),
    of(({ runBy }) => runBy),
    of(({ key }) => key),
    of(({ claim }) => claim?.leaseMs),
    of(({ askFromInMs }) => askFromInMs),
  ]
}

function keyValues(transactions: readonly NewTransaction[]): unknown[] {
  const all = transactions.flatMap(({ keys = [] }, index) => keys.map((key) => ({ n: index + 1, key })))
  return [column(transactions, ({ content }) => content), column(all, ({ n }) => n), column(all, ({ key }) => key)]
}

/** The columns of the ops of several transactions, each with the place of its transaction, counted from 1. */
export function operationValues(lists: readonly (readonly OperationContent[])[]): unknown[] {
  const all = lists.flatMap((operations, index) =>
    operations.map((operation, place) => ({ operation, n: index + 1, place })),
  )
  return [
    column(all, ({ n }) => n),
    ...contentValues(all),
    column(all, ({ operation }) => operation.startSeq),
    column(all, ({ operation }) => operation.leaseMs),
  ]
}
