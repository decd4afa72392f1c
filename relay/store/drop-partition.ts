import type { Queryable } from './queryable.ts'

/**
 * Empties a partition, then drops it. Emptying locks the partition alone and frees the disk at once; dropping locks
 * the log against its writers for a moment, waits 100 ms for that at most, and is tried again later if it must.
 */
export async function dropPartition(client: Queryable, name: string): Promise<void> {
  await client.query({ text: `truncate postcommit.${name}` })
  await client.query({ text: `begin; set local lock_timeout = '100ms'; drop table postcommit.${name}; commit` })
}
