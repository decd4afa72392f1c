import { selectHasWaiting } from '../delivery/select-has-waiting.ts'
import type { Queryable } from '../queryable.ts'

/**
 * Empties a partition, then drops it. Emptying locks the partition alone and frees the disk at once; dropping locks
 * the log against its writers for a moment. Either waits 100 ms at most for its lock, and is tried again later if it must.
 *
 * Resolves to false, and leaves the partition as it is, if there is a message in it that is still to be handed on: a
 * sequence that was set back gives ids of any partition. Looked for under the lock, because whoever is writing to it when
 * the lock is asked for has committed when it is given.
 */
export async function dropPartition(client: Queryable, name: string): Promise<boolean> {
  for (const end of [`truncate postcommit.${name}`, `drop table postcommit.${name}`]) {
    await client.query({
      text: `begin; set local lock_timeout = '100ms'; lock table postcommit.${name} in access exclusive mode`,
    })
    if (await selectHasWaiting(client, name)) {
      await client.query({ text: 'rollback' })
      return false
    }
    await client.query({ text: `${end}; commit` })
  }
  return true
}
