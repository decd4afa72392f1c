import type { Queryable } from '../queryable.ts'

/** A shard: a part of the log, how far it has been read, and who reads it. */
export interface ShardPosition {
  readonly shard: number
  readonly slotFirst: number
  readonly slotLast: number
  readonly snapshot: string
  readonly low: string
  readonly epoch: string
  /** The name of the relay that owns it. */
  readonly owner: string | null
  readonly stream: string | null
  readonly streamSequence: string | null
  readonly savedAgeMs: number
}

/** All shards: 1 to 64 rows. */
export async function selectPositions(client: Queryable): Promise<readonly ShardPosition[]> {
  const { rows } = await client.query<ShardPosition>({
    text: `select p.shard, p.slot_first as "slotFirst", p.slot_last as "slotLast", p.snapshot::text as snapshot,
  p.low, p.epoch, r.name as owner, p.stream, p.stream_sequence as "streamSequence",
  extract(epoch from clock_timestamp() - p.saved_at)::float8 * 1000 as "savedAgeMs"
from postcommit.position p left join postcommit.relay r on r.id = p.owner order by p.shard`,
  })
  return rows
}
