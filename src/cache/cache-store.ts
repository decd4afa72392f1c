/** What a store says to somebody who wants a value. */
export type Claim =
  /** It is there and nothing has invalidated it; `isNear`: in the memory of this process. */
  | { readonly state: 'hit'; readonly text: string; readonly isNear?: true }
  /** It is not; the caller is the one that loads it. `stale` is what an invalidation has left, within its deadline. */
  | { readonly state: 'load'; readonly lease: string; readonly stale?: string | undefined }
  /** Somebody else loads it. */
  | { readonly state: 'wait'; readonly stale?: string | undefined }

/** How a value is asked for. */
export interface ClaimOptions {
  /** How long the caller has for its load before somebody else is let in, milliseconds. */
  readonly leaseMs: number
  /** What was claimed before this time of the store's clock is treated as if it were not there, milliseconds. */
  readonly since: number
  /** A value that the caller cannot use: treated as if it were not there. */
  readonly refused?: string | undefined
}

/** A value that is a hit. */
export interface Stored {
  readonly text: string
  /** When its load was claimed, by the store's clock, milliseconds: tells one fill of a key from the next. */
  readonly claimedAt: number
}

/** How a value is invalidated. */
export interface Invalidation {
  /** How long what is there may still be shown to readers that accept it; 0: not at all. */
  readonly staleMs: number
  /** Names the invalidation: the same one, coming again behind others' loads, changes nothing. Empty: no name. */
  readonly id: string
}

/** The one text that all processes of a cache share, and the store's time when it was read. */
export interface BoardReading {
  readonly text: string | undefined
  /** Milliseconds by the store's clock. */
  readonly nowMs: number
  /** When the store may last have lost what it had acknowledged, by its clock, milliseconds; 0: never. */
  readonly doubtfulAtMs: number
}

/**
 * Where a cache keeps its values. What every store must hold to:
 *
 * 1. A fill is stored only under the lease of the newest claim, and no invalidation has come since that claim.
 * 2. While a lease runs, nobody else gets one for its key.
 * 3. What an invalidation leaves is never a hit, and is shown as stale until a deadline that later invalidations and
 *    failed loads only bring nearer.
 * 4. Times are those of the store's clock, never of a process.
 *
 * Every method may reject when the store cannot be reached; whoever calls goes to the database then.
 */
export interface CacheStore {
  /** Asks for a value; under `load`, the caller has promised to {@link CacheStore.fill} or {@link CacheStore.release}. */
  claim(key: string, options: ClaimOptions): Promise<Claim> | Claim
  /** Stores what was loaded under a lease. False: dropped, because the lease is no longer the newest. */
  fill(key: string, lease: string, text: string, ttlMs: number): Promise<boolean>
  /** Gives a lease back without a value. */
  release(key: string, lease: string): Promise<void>
  /** Resolves when no claim that comes from now on is answered with what was there. */
  invalidate(key: string, invalidation: Invalidation): Promise<void>
  /** What a claim would call a hit, without claiming. */
  peek(key: string, since: number): Promise<Stored | undefined>
  /** Reads the text that all processes share. */
  readBoard(): Promise<BoardReading>
  /** Replaces it if it is still `before`; false if it is not. */
  swapBoard(before: string | undefined, after: string): Promise<boolean>
  /** Calls back whenever the connection was lost. Returns how to stop it. */
  onInterrupted(listener: () => void): () => void
  /** Ends what the store itself has opened; connections stay the caller's. */
  close(): Promise<void>
}

/** How long a store remembers that an invalidation has been applied to a key, milliseconds. */
export const APPLIED_MS = 60_000
