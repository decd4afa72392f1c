import type { Queryable } from '../queryable.ts'

/**
 * Milliseconds until the next transaction that runs is due; undefined if none runs that is not paused. The first entry
 * of global_transaction_due.
 */
export async function selectNextTransactionDue(client: Queryable): Promise<number | undefined> {
  const { rows } = await client.query<{ ms: number }>({
    name: 'postcommit_select_next_transaction_due',
    text: `select (extract(epoch from due_at - clock_timestamp()) * 1000)::float8 as ms from (
  select due_at from postcommit.global_transaction where status in ('submitted', 'aborting') order by due_at, id limit 1
) next where due_at < 'infinity'`,
  })
  return rows[0]?.ms
}
