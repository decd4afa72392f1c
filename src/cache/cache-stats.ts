/** Counts of one definition in this process, since it was made. */
export interface CacheStats {
  /** Reads answered from the store, stale ones included. */
  readonly hits: number
  /** Of those, answered with what an invalidation had left. */
  readonly stale: number
  /** Of those, answered from the memory of this process. */
  readonly firstLevel: number
  /** Reads answered by a load, of their own or of another reader in this process, or with its error. */
  readonly misses: number
  /** Calls of the loader. */
  readonly loads: number
  readonly loadsFailed: number
  /** Loads whose value was not stored because something invalidated it meanwhile. */
  readonly fillsDropped: number
  /** Loads past a store that was switched off or could not be reached. */
  readonly bypassed: number
  /** Stored values that the schema refused. */
  readonly mismatched: number
  /** Invalidations that this process has applied to the store. */
  readonly invalidated: number
  /** Values compared with the database, and those that were not what it holds. */
  readonly verified: number
  readonly inconsistent: number
}

/** The same while it is being counted. */
export type CountedStats = { -readonly [Name in keyof CacheStats]: CacheStats[Name] }

/** Nothing was counted yet. */
export function noStats(): CountedStats {
  return {
    hits: 0,
    stale: 0,
    firstLevel: 0,
    misses: 0,
    loads: 0,
    loadsFailed: 0,
    fillsDropped: 0,
    bypassed: 0,
    mismatched: 0,
    invalidated: 0,
    verified: 0,
    inconsistent: 0,
  }
}
