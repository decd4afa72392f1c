import type { Invalidatable } from '../invalidation.ts'
import { PostcommitError } from '../protocol/errors.ts'
import { checkKey, plainKey } from './cache-key.ts'
import type { CacheStats } from './cache-stats.ts'
import type { Verification } from './verify.ts'

/** A kind of values that is cached: what `cache.define` gives. */
export interface CachedValues<Id, Value> extends Invalidatable<Id> {
  /**
   * The value; null if there is none.
   *
   * @throws what the loader throws, `POSTCOMMIT_INVALID_CACHE_KEY`, `POSTCOMMIT_UNSUITABLE_CACHE_VALUE`,
   * `POSTCOMMIT_CACHE_CLOSED`. A store that cannot be reached is no error: the value is loaded.
   * @example
   * ```ts
   * const product = await products.get(42)
   * ```
   */
  get(id: Id): Promise<Value | null>
  /** The values in the order of the ids; what is missing is loaded together where there is a `loadMany`. */
  getMany(ids: readonly Id[]): Promise<(Value | null)[]>
  /**
   * Invalidates without a commit: for values that are not in a database of this service. Where they are, use
   * `message.invalidate` inside `outbox.commit()`, which no crash can separate from the change.
   *
   * @throws `POSTCOMMIT_CACHE_UNREACHABLE`.
   */
  invalidate(id: Id): Promise<void>
  apply(key: string, invalidationId: string): Promise<void>
  /**
   * Compares what is cached of these ids with the database, and counts it in {@link CachedValues.stats}.
   * @throws what the loader or the client of the store throws.
   */
  verify(ids: readonly Id[], options?: VerifyOptions): Promise<Verification>
  /** Counts of this process. */
  readonly stats: CacheStats
}

/** How {@link CachedValues.verify} compares. */
export interface VerifyOptions {
  /** How long an invalidation may be on its way before a difference counts, milliseconds, default 1000. */
  readonly graceMs?: number
}

/**
 * Values that another service caches under this name: enough for `message.invalidate`, which reaches them through the
 * relay.
 *
 * @throws `POSTCOMMIT_INVALID_OPTIONS`; its `keyOf` throws `POSTCOMMIT_INVALID_CACHE_KEY`.
 * @example
 * ```ts
 * const products = valuesNamed<number>('product')
 * await outbox.commit(async (tx, message) => {
 *   await rename(tx, 42)
 *   message.invalidate(products, 42)
 * })
 * ```
 */
export function valuesNamed<Id = string>(name: string, key: (id: Id) => string | number = plainKey): Invalidatable<Id> {
  if (!/^[A-Za-z0-9_-]{1,64}$/.test(name)) {
    const reason = 'name is not 1 to 64 of A-Z a-z 0-9 _ -'
    throw new PostcommitError('POSTCOMMIT_INVALID_OPTIONS', { function: 'valuesNamed', reason })
  }
  return { name, keyOf: (id) => checkKey(name, key(id)) }
}
