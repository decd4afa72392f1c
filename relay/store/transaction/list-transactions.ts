import { type Expression, expressionBuilder, type Kysely, type SqlBool, sql } from 'kysely'
import type { Mode, Status } from '../../engine/transaction/transaction.ts'
import type { Tables } from '../tables.ts'
import { UNSETTLED } from './hand-over.ts'
import type { RunBy } from './transaction-row.ts'

/** Which transactions; all that is given must fit. */
export interface TransactionFilter {
  /** Undefined: of all tenants, for the operator of the relay. */
  readonly tenant?: string
  readonly gid?: string
  readonly statuses?: readonly Status[]
  readonly mode?: Mode
  /** Handed in at or after, and before, in Unix milliseconds. */
  readonly createdFromMs?: number
  readonly createdUntilMs?: number
  /** Only messages whose time to be asked about has come, and about which nobody could say. */
  readonly inDoubt?: boolean
  readonly paused?: boolean
  /** Only transactions before this id: the last one of the page before. */
  readonly before?: string
}

/** One transaction of a list. */
export interface ListedTransaction {
  readonly id: string
  readonly tenant: string
  readonly gid: string
  readonly mode: Mode
  readonly status: Status
  /** Its messages are in the outbox, and not all of them are settled there. */
  readonly isUnsettled: boolean
  readonly runBy: RunBy
  readonly rollbackReason: string | null
  readonly asked: number
  /** Its time to be asked about has come, and nobody could say. */
  readonly inDoubt: boolean
  readonly lastError: string | null
  /** Nobody answers where it is to be asked about, since then. */
  readonly unreachableSince: Date | null
  readonly leaseOwner: string | null
  readonly pausedReason: string | null
  /** Null: paused. */
  readonly dueAt: Date | null
  readonly createdAt: Date
  readonly updatedAt: Date
  readonly finishedAt: Date | null
}

/**
 * Lists transactions, newest first, a page at a time, by the id: what is handed in meanwhile is on no later page, and
 * nothing is shown twice or left out because of it.
 *
 * Plan: an index scan backwards over the primary key, stopped by LIMIT; `gid` with a tenant uses global_transaction_gid.
 * Other filters but `inDoubt` walk back through what retention keeps.
 */
export function listTransactions(
  db: Kysely<Tables>,
  filter: TransactionFilter,
  limit: number,
): Promise<ListedTransaction[]> {
  return db
    .selectFrom('postcommit.global_transaction as t')
    .leftJoin('postcommit.check_outage as o', (join) =>
      join.onRef('o.destination', '=', 't.check_destination').on(sql<SqlBool>`${sql.raw(IN_DOUBT)}`),
    )
    .select(['t.tenant', 't.gid', 't.mode', 't.status', 't.asked', 't.run_by as runBy'])
    .select(['t.rollback_reason as rollbackReason', 't.lease_owner as leaseOwner', 't.paused_reason as pausedReason'])
    .select(['t.created_at as createdAt', 't.updated_at as updatedAt', 't.finished_at as finishedAt'])
    .select([sql<string>`t.id::text`.as('id'), sql<Date | null>`nullif(t.due_at, 'infinity')`.as('dueAt')])
    .select(sql<boolean>`${sql.raw(UNSETTLED)}`.as('isUnsettled'))
    .select([sql<boolean>`${sql.raw(IN_DOUBT)}`.as('inDoubt'), 'o.since as unreachableSince'])
    .select(sql<string | null>`${sql.raw(LAST_ERROR)}`.as('lastError'))
    .where(conditionOf(filter))
    .$if(filter.inDoubt === true, (query) => query.where(sql<SqlBool>`t.id = any(array(${inDoubt(filter, limit)}))`))
    .orderBy('t.id', 'desc')
    .limit(limit)
    .execute()
}

function conditionOf(filter: TransactionFilter): Expression<SqlBool> {
  const { statuses, paused } = filter
  const row = expressionBuilder<{ t: Tables['postcommit.global_transaction'] }, 't'>()
  return row.and([
    ...given(filter.tenant, (tenant) => row('t.tenant', '=', tenant)),
    ...given(filter.gid, (gid) => row('t.gid', '=', gid)),
    ...given(statuses, (several) => row('t.status', '=', row.fn.any(row.val(several)))),
    ...given(filter.mode, (mode) => row('t.mode', '=', mode)),
    ...given(filter.createdFromMs, (ms) => row('t.created_at', '>=', at(ms))),
    ...given(filter.createdUntilMs, (ms) => row('t.created_at', '<', at(ms))),
    ...given(paused, (is) => row('t.paused_reason', is ? 'is not' : 'is', null)),
    ...given(filter.before, (id) => row('t.id', '<', id)),
  ])
}

/**
 * The ids of a page of what is in doubt, from two indexes: what was asked about in vain by id, and, destination by
 * destination, what is to be asked about and has not been. Each gives no more than the page.
 *
 * Plans: Index Scan backwards on global_transaction_asked; on global_transaction_check one probe for each destination and,
 * in it, what is due, or where much is due, backwards over the primary key. Of a million prepared messages about 50 of
 * which nobody could say: 10 ms, where reading and sorting all that is prepared took 700; with half of them due 3 ms, and
 * a second as long as the statistics have not seen that.
 */
function inDoubt(filter: TransactionFilter, limit: number): Expression<unknown> {
  const condition = conditionOf(filter)
  const page = sql`order by t.id desc limit ${limit}`
  return sql`with recursive destination as (
  (select t.check_destination as name from postcommit.global_transaction t
  where t.status = 'prepared' and t.check_destination > '' order by t.check_destination limit 1)
  union all
  select next.check_destination from destination cross join lateral (
    select t.check_destination from postcommit.global_transaction t
    where t.status = 'prepared' and t.check_destination > destination.name order by t.check_destination limit 1
  ) next
)
(select t.id from postcommit.global_transaction t
where t.status = 'prepared' and (t.asked > 0 or t.last_error is not null) and t.check_destination <> '' and ${condition}
${page})
union all
select due.id from destination cross join lateral (
  select t.id from postcommit.global_transaction t
  where t.status = 'prepared' and t.check_destination = destination.name and t.due_at <= statement_timestamp()
    and ${condition} ${page}
) due`
}

/**
 * A message, for a statement in which `t` is its row, whose time to be asked about has come and about which nobody could
 * say: it was asked in vain, nobody was reached, or it waits for its service to be back. The status as a literal: only so
 * does PostgreSQL know that the partial index has all of them.
 */
export const IN_DOUBT = `(t.status = 'prepared' and t.check_destination <> ''
  and (t.asked > 0 or t.last_error is not null or t.due_at <= statement_timestamp()))`

/** What went wrong last, for the message itself or, where `o` says so, for all of its service. */
export const LAST_ERROR = `coalesce('unreachable: ' || o.last_error, t.last_error)`

function given<T>(value: T | undefined, condition: (value: T) => Expression<SqlBool>): Expression<SqlBool>[] {
  return value === undefined ? [] : [condition(value)]
}

function at(ms: number): Expression<Date> {
  return sql<Date>`to_timestamp(${ms}::float8 / 1000)`
}
