import type { Act } from '../operator/act.ts'
import type { Queryable } from '../queryable.ts'
import type { TransactionKey } from './transaction-row.ts'

/**
 * Stops a transaction where it stands, until a person resumes it: nothing is called and nobody asked. A claim on it
 * ends; a call that is under way is not recalled, and its outcome not written. Submissions and registrations go through.
 * Resolves to whether it was unfinished and not paused. Index: global_transaction_gid.
 */
export async function pauseTransaction(client: Queryable, key: TransactionKey, act: Act): Promise<boolean> {
  const { rows } = await client.query({
    text: `with paused as (
  update postcommit.global_transaction
  set paused_reason = $3, due_at = 'infinity', lease_token = null, lease_owner = null, updated_at = clock_timestamp()
  where tenant = $1 and gid = $2 and finished_at is null and paused_reason is null returning id
), told as (
  insert into postcommit.branch_attempt (transaction_id, event, attempt, detail, actor)
  select id, 'paused', 0, $3, $4 from paused
)
select from paused`,
    values: [key.tenant, key.gid, act.reason, act.actor],
  })
  return rows.length > 0
}

/**
 * Lets a paused transaction go on, now; a prepared message, whose question closes the door on its local transaction, not
 * before it may be asked about. Resolves to whether it was paused. Index: global_transaction_gid.
 */
export async function resumeTransaction(client: Queryable, key: TransactionKey, act: Act): Promise<boolean> {
  const { rows } = await client.query({
    text: `with resumed as (
  update postcommit.global_transaction
  set paused_reason = null, backoff_ms = null,
    due_at = case when status = 'prepared' then greatest(clock_timestamp(), ask_from) else clock_timestamp() end,
    updated_at = clock_timestamp()
  where tenant = $1 and gid = $2 and finished_at is null and paused_reason is not null returning id
), told as (
  insert into postcommit.branch_attempt (transaction_id, event, attempt, detail, actor)
  select id, 'resumed', 0, $3, $4 from resumed
)
select from resumed`,
    values: [key.tenant, key.gid, act.reason, act.actor],
  })
  return rows.length > 0
}
