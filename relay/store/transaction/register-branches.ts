import type { Mode } from '../../engine/transaction/transaction.ts'
import type { Queryable } from '../queryable.ts'
import { byKey, operationValues } from './insert-transactions.ts'
import { arrayLiteral } from './operation-columns.ts'
import type { OperationContent, TransactionKey } from './transaction-row.ts'

/** What a client is about to do in a prepared transaction. */
export interface Registration extends TransactionKey {
  readonly mode: Mode
  /** What undoes or confirms it; their `startSeq` is given here. */
  readonly operations: readonly OperationContent[]
  /** Branches that this client has seen end: they happened before what it registers. */
  readonly ended: readonly string[]
}

/** A registration that was taken. */
export interface Registered {
  /** False: all of it was registered before, and stays as it was. */
  readonly isNew: boolean
  /** The start of what is new in the transaction's happened-before. */
  readonly startSeq: number
}

/**
 * Registers branches of prepared transactions, under the lock of their row: after a decision there is no way to slip
 * one in, and a decision that is made at the same time waits, and finds by `op_count` that it has not seen all of them.
 * Resolves to what was taken; a missing registration came too late, or names no transaction of its mode whose actions
 * the client calls.
 *
 * A gid at most once in a call: an UPDATE takes a row once, and the second registration would be lost in silence.
 *
 * The counter goes up by two: the ends that the client reports come first, then the start of what it registers, so
 * that A is undone after B only if A had ended before B started.
 *
 * Plan, 100 registrations of two ops: Nested Loop, Function Scan, Index Scan on global_transaction_gid, 100 HOT updates
 * (no index holds a counter), 200 inserts into branch_pkey: 4 ms. Joining the ops with their transactions is a nested
 * loop over both lists; with 100 registrations that is nothing.
 *
 * @throws RangeError if a gid is given twice
 */
export async function registerBranches(
  client: Queryable,
  registrations: readonly Registration[],
): Promise<ReadonlyMap<Registration, Registered>> {
  const sorted = registrations.toSorted(byKey)
  if (sorted.some((registration, index) => index > 0 && byKey(sorted[index - 1], registration) === 0)) {
    throw new RangeError('a call of registerBranches names a gid twice')
  }
  const column = <T>(value: (registration: Registration) => T): T[] => sorted.map(value)
  const { rows } = await client.query<Registered & { readonly n: number }>({
    name: 'postcommit_register_branches',
    text: TEXT,
    values: [
      column(({ tenant }) => tenant),
      column(({ gid }) => gid),
      column(({ mode }) => mode),
      column(({ operations }) => operations.length),
      column(({ ended }) => arrayLiteral(ended)),
      ...operationValues(column(({ operations }) => operations)),
    ],
  })
  const registered = new Map<Registration, Registered>()
  for (const { n, ...taken } of rows) {
    const registration = sorted[n - 1]
    if (registration !== undefined) registered.set(registration, taken)
  }
  return registered
}

const TEXT = `with locked as (
  update postcommit.global_transaction t
  set seq = t.seq + 2, op_count = t.op_count + r.op_count, updated_at = clock_timestamp()
  from unnest($1::text[], $2::text[], $3::text[], $4::int[], $5::text[]) with ordinality
    as r (tenant, gid, mode, op_count, ended, n)
  where t.tenant = r.tenant and t.gid = r.gid and t.mode = r.mode and t.run_by = 'client' and t.status = 'prepared'
  returning t.id, t.seq, t.op_count - r.op_count as places, r.ended::text[] as ended, r.n
), ended as (
  update postcommit.branch b set end_seq = locked.seq - 1, updated_at = clock_timestamp()
  from locked where b.transaction_id = locked.id and b.branch = any(locked.ended) and b.end_seq is null
), written as (
  insert into postcommit.branch
    (transaction_id, branch, op, place, target, payload, body, options, after, recovery, start_seq)
  select locked.id, o.branch, o.op, locked.places + o.place, o.target, o.payload, o.body, o.options, o.after::text[],
    o.recovery, locked.seq
  from unnest($6::int[], $7::text[], $8::text[], $9::int[], $10::text[], $11::text[], $12::bytea[], $13::text[],
    $14::text[], $15::text[], $16::int[], $17::float8[])
    as o (n, branch, op, place, target, payload, body, options, after, recovery, start_seq, lease_ms)
  join locked on locked.n = o.n
  on conflict (transaction_id, branch, op) do nothing
  returning transaction_id
)
select n::int, seq as "startSeq",
  (id in (select transaction_id from written)) is true as "isNew"
from locked`
