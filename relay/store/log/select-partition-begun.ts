import type { Queryable } from '../queryable.ts'

/**
 * Whether the oldest row of a partition is older than `ageMs`, by the database's clock; false if it is empty. One row by
 * primary key.
 */
export async function selectPartitionBegun(client: Queryable, name: string, ageMs: number): Promise<boolean> {
  const { rows } = await client.query<{ begun: boolean | null }>({
    text: `select (select created_at from postcommit.${name} order by id limit 1)
  < clock_timestamp() - $1 * interval '1 millisecond' as begun`,
    values: [ageMs],
  })
  return rows[0]?.begun ?? false
}
