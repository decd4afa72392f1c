import { isDeepStrictEqual } from 'node:util'
import { sleep } from '../clock.ts'
import type { CacheStore, Stored } from './cache-store.ts'
import type { Codec } from './codec.ts'
import { within } from './within.ts'

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
  /** Since when what is stored may be believed; undefined: nothing that is there will be. */
  readonly since: () => Promise<number | undefined>
  readonly load: (id: Id) => unknown
  /** How long an invalidation may be on its way, milliseconds. */
  readonly graceMs: number
}

/** What became of one comparison. */
export type Comparison = { readonly cached: boolean; readonly inconsistency?: Inconsistency | undefined }

const LOOK_MS = 5000

/**
 * Compares one value of the cache with the database.
 *
 * What differs may have been changed between the two looks, or its invalidation may be on its way. So it is looked at
 * again when `graceMs` is over: inconsistent is what is still the same fill, not only the same text, and wrong still.
 */
export async function compareOne<Id>(
  { store, codec, since, load, graceMs }: ComparisonOptions<Id>,
  path: string,
  id: Id,
): Promise<Comparison> {
  const look = async (): Promise<Stored | undefined> => {
    const believed = await since()
    return believed === undefined ? undefined : await within(LOOK_MS, store.peek(path, believed))
  }
  const first = await look()
  // What the schema refuses is shown to nobody.
  if (first === undefined || (await codec.decode(first.text)).problem !== undefined) return { cached: false }
  const { text: cached, claimedAt } = first
  if (isSame(cached, codec.encode(path, await load(id)))) return { cached: true }
  await sleep(graceMs)
  const loaded = codec.encode(path, await load(id))
  if (isSame(cached, loaded) || (await look())?.claimedAt !== claimedAt) return { cached: true }
  return { cached: true, inconsistency: { key: path, cached, loaded } }
}

/** The order of properties, which a column that was added changes, says nothing. */
function isSame(cached: string, loaded: string): boolean {
  return cached === loaded || isDeepStrictEqual(JSON.parse(cached), JSON.parse(loaded))
}
