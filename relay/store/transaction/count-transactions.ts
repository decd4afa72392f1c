import type { Queryable } from '../queryable.ts'
import { IN_DOUBT } from './list-transactions.ts'

/** How many global transactions have not ended. */
export interface TransactionCounts {
  readonly prepared: number
  readonly submitted: number
  readonly aborting: number
  readonly inDoubt: number
  readonly oldestAgeSeconds: number
}

/**
 * Counts what has not ended, each status to 100,000 at most: whoever has more knows enough. The oldest is the one with
 * the lowest id, which is not exactly the one that was handed in first, but near it.
 *
 * Plan: Index Scans on the partial indexes of running and of prepared transactions.
 */
export async function countTransactions(client: Queryable): Promise<TransactionCounts> {
  const { rows } = await client.query<TransactionCounts>({
    name: 'postcommit_count_transactions',
    text: `with running as materialized (
  select status, created_at from postcommit.global_transaction where status in ('submitted', 'aborting') limit 100000
), undecided as materialized (
  select created_at, ${IN_DOUBT} as in_doubt from postcommit.global_transaction t where status = 'prepared' limit 100000
)
select (select count(*)::int from undecided) as prepared,
  (select count(*)::int from running where status = 'submitted') as submitted,
  (select count(*)::int from running where status = 'aborting') as aborting,
  (select count(*)::int from undecided where in_doubt) as "inDoubt",
  coalesce(extract(epoch from clock_timestamp() - least(
    (select min(created_at) from running), (select min(created_at) from undecided)
  )), 0)::float8 as "oldestAgeSeconds"`,
  })
  return rows[0] ?? { prepared: 0, submitted: 0, aborting: 0, inDoubt: 0, oldestAgeSeconds: 0 }
}
