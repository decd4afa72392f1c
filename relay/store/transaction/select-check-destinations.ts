import type { Queryable } from '../queryable.ts'

/** Somebody who is to be asked about prepared transactions. */
export interface CheckDestination {
  /** Empty: nobody is asked, a deadline decides. */
  readonly destination: string
  /** Until the first question to it is due, negative if it is overdue. */
  readonly dueInMs: number
  /** It is noted as one that does not answer, by whichever relay. */
  readonly isOut: boolean
}

/**
 * Lists whom prepared transactions ask, and when the first question to each is due. What claims and timers go by: a
 * destination that is away is left out of the claims, and the others do not notice.
 *
 * Plan: steps from one destination to the next through global_transaction_check, one probe each, where `distinct` would
 * read all of the index: 0.06 ms for 4 destinations with 10,000 prepared transactions.
 */
export async function selectCheckDestinations(client: Queryable): Promise<readonly CheckDestination[]> {
  const { rows } = await client.query<CheckDestination>({
    name: 'postcommit_select_check_destinations',
    text: `with recursive step as (
  (select check_destination, due_at from postcommit.global_transaction
  where status = 'prepared' order by check_destination, due_at limit 1)
  union all
  select next.check_destination, next.due_at from step cross join lateral (
    select check_destination, due_at from postcommit.global_transaction
    where status = 'prepared' and check_destination > step.check_destination
    order by check_destination, due_at limit 1
  ) next
)
select check_destination as destination,
  (extract(epoch from due_at - clock_timestamp()) * 1000)::float8 as "dueInMs",
  exists (select from postcommit.check_outage o where o.destination = step.check_destination) as "isOut"
from step where due_at < 'infinity'`,
  })
  return rows
}
