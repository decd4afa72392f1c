import type { Queryable } from '../queryable.ts'

/** A shard as its new owner finds it. */
export interface TakenShard {
  readonly shard: number
  readonly slotFirst: number
  readonly slotLast: number
  readonly epoch: string
  readonly snapshot: string
  readonly low: string
  /** Readers look at ids above it only, and the snapshot for which that was true. */
  readonly floor: string
  readonly floorSnapshot: string
  readonly windowSnapshot: string | null
  readonly windowId: string | null
  /** Of the newest acknowledgement; null: there is none. */
  readonly stream: string | null
  readonly sequence: number | null
  readonly messageId: string | null
}

/**
 * Takes a free shard: compare-and-set on its owner, and a new epoch, which fences every earlier owner for good.
 * The floor is no higher than `low`: a relay of an older version may have taken the shard back to a mark, and knows of
 * no floor. Primary key. Resolves to undefined if another relay was quicker.
 */
export async function takeShard(client: Queryable, shard: number, relay: string): Promise<TakenShard | undefined> {
  const { rows } = await client.query<TakenShard>({
    text: `update postcommit.position set owner = $2, epoch = epoch + 1
where shard = $1 and owner is null and exists (select 1 from postcommit.relay where id = $2)
returning shard, slot_first as "slotFirst", slot_last as "slotLast", epoch, snapshot::text, low,
  least(floor, low) as floor, coalesce(floor_snapshot, snapshot)::text as "floorSnapshot", window_snapshot::text as "windowSnapshot", window_id as "windowId",
  stream, stream_sequence::float8 as sequence, message_id as "messageId"`,
    values: [shard, relay],
  })
  return rows[0]
}
