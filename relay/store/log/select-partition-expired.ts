import type { Queryable } from '../queryable.ts'

/**
 * Whether the newest row of a partition is older than the retention, by the database's clock, or the partition is
 * empty. One row by primary key, read backwards.
 */
export async function selectPartitionExpired(client: Queryable, name: string, retentionMs: number): Promise<boolean> {
  const { rows } = await client.query<{ expired: boolean | null }>({
    text: `select (select created_at from postcommit.${name} order by id desc limit 1)
  < clock_timestamp() - $1 * interval '1 millisecond' as expired`,
    values: [retentionMs],
  })
  return rows[0]?.expired ?? true
}
