import { sleep } from '../clock.ts'
import type { CacheStore } from './cache-store.ts'
import type { Codec } from './codec.ts'

/** A value in the cache that is not what the database holds. */
export interface Inconsistency {
  readonly key: string
  /** The stored text. */
  readonly cached: string
  /** What the database holds, as it would be stored. */
  readonly loaded: string
}

/** What a comparison has found. */
export interface Verification {
  /** Ids that were looked at. */
  readonly checked: number
  /** Of those, the ones that were in the cache. */
  readonly cached: number
  readonly inconsistent: readonly Inconsistency[]
}

/** What {@link compareOne} needs. */
export interface ComparisonOptions<Id> {
  readonly store: CacheStore
  readonly codec: Codec<unknown>
  readonly since: () => number
  readonly load: (id: Id) => unknown
  /** How long an invalidation may be on its way, milliseconds. */
  readonly graceMs: number
}

/** What became of one comparison. */
export type Comparison = { readonly cached: boolean; readonly inconsistency?: Inconsistency | undefined }

/**
 * Compares one value of the cache with the database.
 *
 * What differs may have been changed between the two looks, or its invalidation may be on its way. So it is looked at
 * again when `graceMs` is over; only what still holds the text that was wrong then, and is wrong still, is inconsistent.
 */
export async function compareOne<Id>(
  { store, codec, since, load, graceMs }: ComparisonOptions<Id>,
  path: string,
  id: Id,
): Promise<Comparison> {
  const cached = await store.peek(path, since())
  if (cached === undefined) return { cached: false }
  if (codec.encode(path, await load(id)) === cached) return { cached: true }
  await sleep(graceMs)
  const loaded = codec.encode(path, await load(id))
  const now = await store.peek(path, since())
  if (now !== cached || loaded === cached) return { cached: true }
  return { cached: true, inconsistency: { key: path, cached, loaded } }
}
