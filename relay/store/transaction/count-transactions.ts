import type { Queryable } from '../queryable.ts'

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
 * Plan: Index Only Scans on the partial indexes of running, of prepared and of undecided transactions; for the age the
 * first rows of the table that have not ended, which are looked for among the oldest of each index.
 */
export async function countTransactions(client: Queryable): Promise<TransactionCounts> {
  const { rows } = await client.query<TransactionCounts>({
    name: 'postcommit_count_transactions',
    text: `with running as materialized (
  select status, created_at from postcommit.global_transaction where status in ('submitted', 'aborting') limit 100000
), undecided as materialized (
  select created_at from postcommit.global_transaction where status = 'prepared' limit 100000
)
select (select count(*)::int from undecided) as prepared,
  (select count(*)::int from running where status = 'submitted') as submitted,
  (select count(*)::int from running where status = 'aborting') as aborting,
  (select count(*)::int from (
    select from postcommit.global_transaction where status = 'prepared' and asked > 0 limit 100000
  ) asked) as "inDoubt",
  coalesce(extract(epoch from clock_timestamp() - least(
    (select min(created_at) from running), (select min(created_at) from undecided)
  )), 0)::float8 as "oldestAgeSeconds"`,
  })
  return rows[0] ?? { prepared: 0, submitted: 0, aborting: 0, inDoubt: 0, oldestAgeSeconds: 0 }
}
