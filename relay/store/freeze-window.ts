import type { Queryable } from './queryable.ts'

/**
 * Fixes the end of a large window, so that a successor can go on in the middle of it: rows visible in the returned
 * snapshot, in the order of their ids. Fenced like every write of an owner.
 */
export async function freezeWindow(
  client: Queryable,
  shard: number,
  epoch: string,
  low: bigint,
): Promise<string | undefined> {
  const { rows } = await client.query<{ snapshot: string }>({
    text: `update postcommit.position set window_snapshot = pg_current_snapshot(), window_id = $3
where shard = $1 and epoch = $2 returning window_snapshot::text as snapshot`,
    values: [shard, epoch, low.toString()],
  })
  return rows[0]?.snapshot
}
