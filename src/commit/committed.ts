import type { InvalidationState } from '../invalidation.ts'
import type { Gid } from '../protocol/gid.ts'

/** A commit that stands: its messages will be delivered. */
export interface Committed<T> {
  readonly gid: Gid
  readonly duplicated: false
  /** What the work returned. */
  readonly value: T
}

/** A commit that had been made before, with the same gid and messages; this time nothing was written. */
export interface Duplicated {
  readonly gid: Gid
  readonly duplicated: true
  readonly value?: never
}

/** What a commit that waits for the cache resolves to, beside the rest. */
export interface CacheWaited {
  /**
   * `applied`: what the caches at hand held of the invalidated values is no longer read there. `pending`: the commit
   * stands and they could not be reached in time; the relay sees to it.
   */
  readonly cache: InvalidationState
}
