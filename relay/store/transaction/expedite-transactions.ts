import type { Act } from '../operator/act.ts'
import type { Queryable } from '../queryable.ts'
import type { TransactionKey } from './transaction-row.ts'

/** Which transactions are to be looked at now. */
export interface Expedition {
  readonly tenant: string
  /** Only those that are due later than this. */
  readonly dueAfterMs: number
  readonly limit: number
}

/** How far an expedition got. */
export interface Expedited {
  readonly count: number
  readonly hasRemaining: boolean
}

/**
 * Makes unfinished transactions due now that would wait for longer than `dueAfterMs`: after an outage nobody wants to sit
 * out the back-off that it has led to. Ops that wait for their next try are due as well. What is claimed is left alone,
 * it is being looked at; so is what is paused, and a prepared message before it may be asked about: the question would
 * close the door on a local transaction that has not begun.
 *
 * Plan: Index Scans on global_transaction_due and global_transaction_check, of which the second is read through; an
 * operator's statement, not one of the loops'.
 */
export async function expediteTransactions(
  client: Queryable,
  { tenant, dueAfterMs, limit }: Expedition,
): Promise<Expedited> {
  const { rows } = await client.query<{ found: number; count: number }>({
    text: `with found as materialized (
  select id from (
    select id from postcommit.global_transaction
    where status in ('submitted', 'aborting') and ${WAITS} order by due_at limit $3::int + 1 for update skip locked
  ) running
  union all
  select id from (
    select id from postcommit.global_transaction
    where status = 'prepared' and ${WAITS} and ${MAY_BE_ASKED} order by due_at limit $3::int + 1 for update skip locked
  ) prepared
), ${expedited('select id from found limit $3::int')}
select (select count(*)::int from found) as found, (select count(*)::int from moved) as count`,
    values: [tenant, dueAfterMs, limit],
  })
  const { found, count } = rows[0] ?? { found: 0, count: 0 }
  return { count, hasRemaining: found > count }
}

/**
 * Makes one transaction due now, if it is unfinished and neither claimed nor paused nor too young to be asked, and tells its story who wanted it;
 * resolves to whether it was. Index: global_transaction_gid.
 */
export async function expediteTransaction(
  client: Queryable,
  { tenant, gid }: TransactionKey,
  act: Act,
): Promise<boolean> {
  const { rows } = await client.query({
    text: `with ${expedited(`select id from postcommit.global_transaction
  where tenant = $1 and gid = $2 and finished_at is null and lease_token is null and paused_reason is null
    and (status <> 'prepared' or ${MAY_BE_ASKED})
  for no key update`)}, told as (
  insert into postcommit.branch_attempt (transaction_id, event, attempt, detail, actor)
  select id, 'retried', 0, $3, $4 from moved
)
select from moved`,
    values: [tenant, gid, act.reason, act.actor],
  })
  return rows.length > 0
}

const WAITS = `tenant = $1 and lease_token is null and paused_reason is null
    and due_at > statement_timestamp() + $2::float8 * interval '1 millisecond'`

/** Of a prepared one: sooner than it is due. */
const MAY_BE_ASKED = '(ask_from is null or ask_from < due_at)'

function expedited(which: string): string {
  return `chosen as materialized (
  ${which}
), moved as (
  update postcommit.global_transaction t set backoff_ms = null,
    due_at = case when t.status = 'prepared' then greatest(clock_timestamp(), t.ask_from) else clock_timestamp() end
  from chosen where t.id = chosen.id returning t.id
), ops as (
  update postcommit.branch b set due_at = clock_timestamp()
  from chosen where b.transaction_id = chosen.id and b.status = 'prepared' and b.due_at is not null
)`
}
