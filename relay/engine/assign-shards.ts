/** One shard as the relays see it. */
export interface ShardOwnership {
  readonly shard: number
  /** The id of the relay that owns it. */
  readonly owner: string | undefined
  /** The fence of its present owner. */
  readonly epoch: string
}

/** What this relay should change about what it owns. */
export interface Assignment {
  readonly take: readonly number[]
  readonly release: readonly number[]
}

/**
 * Spreads the shards evenly: every relay takes free shards up to its fair share and gives up what is above it. Each
 * relay decides by itself from the same table; two that take the same shard are settled by compare-and-set.
 *
 * With `n` shards and `r` relays the share is ⌈n/r⌉, and a relay gives up only what is above that, so that nothing
 * moves to and fro when `n` is not a multiple of `r`.
 */
export function assignShards(shards: readonly ShardOwnership[], relay: string, relays: number): Assignment {
  const share = Math.ceil(shards.length / Math.max(1, relays))
  const mine = shards.filter(({ owner }) => owner === relay)
  const free = shards.filter(({ owner }) => owner === undefined)
  return {
    take: free.slice(0, Math.max(0, share - mine.length)).map(({ shard }) => shard),
    release: mine.slice(share).map(({ shard }) => shard),
  }
}
