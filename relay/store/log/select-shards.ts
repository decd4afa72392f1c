import type { ShardOwnership } from '../../engine/assign-shards.ts'
import type { Queryable } from '../queryable.ts'

/** Who owns which shard, and how many relays there are; two tiny tables. */
export async function selectShards(
  client: Queryable,
): Promise<{ readonly shards: readonly ShardOwnership[]; readonly relays: number }> {
  const { rows } = await client.query<{ shard: number; owner: string | null; epoch: string; relays: number }>({
    name: 'postcommit_select_shards',
    text: `select shard, owner, epoch, (select count(*) from postcommit.relay)::int as relays
from postcommit.position order by shard`,
  })
  return {
    shards: rows.map(({ shard, owner, epoch }) => ({ shard, owner: owner ?? undefined, epoch })),
    relays: rows[0]?.relays ?? 1,
  }
}
