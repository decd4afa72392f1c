import type { Queryable } from '../queryable.ts'

/** Where the present begins. */
export interface TailStart {
  readonly now: Date
  /** The newest attempt; 0 if there is none. */
  readonly attemptId: string
}

/** The database's clock and the end of the primary key of attempt. */
export async function selectTailStart(client: Queryable): Promise<TailStart> {
  const { rows } = await client.query<TailStart>({
    text: `select clock_timestamp() as now, coalesce((select max(id) from postcommit.attempt), 0)::text as "attemptId"`,
  })
  const [row] = rows
  if (row === undefined) throw new Error('a select without a table gave no row')
  return row
}
