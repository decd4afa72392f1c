import type { Queryable } from '../queryable.ts'

/** Gives a shard up, if it is still ours; primary key. */
export async function releaseShard(client: Queryable, shard: number, epoch: string): Promise<void> {
  await client.query({
    text: 'update postcommit.position set owner = null where shard = $1 and epoch = $2',
    values: [shard, epoch],
  })
}
