import { type Duration, readDuration } from '../duration.ts'
import { PostcommitError } from '../protocol/errors.ts'
import type { StandardSchema } from '../standard-schema.ts'
import { checkKey, plainKey } from './cache-key.ts'

/** What a kind of values is. */
export interface DefinitionOptions<Id, Value> {
  /**
   * The text that tells one value from another, 1 to 180 characters; default `String(id)`. Whoever invalidates must
   * come to the same.
   */
  readonly key?: (id: Id) => string | number
  /**
   * Any Standard Schema. What it gives back is the value: of a fresh load as of a stored text, so that both are the
   * same. A stored text that it refuses, written by another version of the service, is loaded anew.
   */
  readonly schema?: StandardSchema<unknown, Value>
  /** How long a value is kept without an invalidation. */
  readonly ttl: Duration
  /** How long it is remembered that there is none, default 60 s or `ttl` if that is shorter. */
  readonly negativeTtl?: Duration
  /** By what part, chosen at random, `ttl` is shortened, so that what was loaded together expires apart; default 0.1. */
  readonly jitter?: number
  /**
   * Reads the value from the database, from its primary: what a replica does not know yet would be kept. Undefined and
   * null mean that there is none, which is kept too. What it throws reaches the reader and is not kept. It must end, so
   * give its query a timeout: readers of the same key wait for it. It runs in the asynchronous context
   * (`AsyncLocalStorage`) of the reader that began it; what it loads is for all readers, so it must not depend on that.
   */
  readonly load: (id: Id) => unknown
  /**
   * Reads several at once, in the order of the ids; used instead of `load` for what is missing at the same time. It is for
   * several readers, and runs in the asynchronous context of none of them.
   */
  readonly loadMany?: (ids: readonly Id[]) => Promise<readonly unknown[]> | readonly unknown[]
  /**
   * `fresh` (default): once an invalidation is done, no read that begins later is answered with what was there before.
   * `staleWhileRefresh`: for so long after an invalidation, readers are shown the old value while one of them loads
   * the new one. The time is counted from the first invalidation; failing loads do not prolong it.
   */
  readonly mode?: 'fresh' | { readonly staleWhileRefresh: Duration }
  /** How long a load may take before another process may begin one, default 3 s; also how long a dead one is waited for. */
  readonly lease?: Duration
}

/** The options with their defaults, checked. */
export interface CompiledDefinition<Id> {
  readonly name: string
  readonly ttlMs: number
  readonly negativeTtlMs: number
  readonly jitter: number
  readonly staleMs: number
  readonly leaseMs: number
  /** @throws `POSTCOMMIT_INVALID_CACHE_KEY`. */
  keyOf(id: Id): string
}

const NAME = /^[A-Za-z0-9_-]{1,64}$/
const DAY_MS = 86_400_000
const NEGATIVE_TTL_MS = 60_000

/** @throws `POSTCOMMIT_INVALID_OPTIONS` naming the option. */
export function compileDefinition<Id>(name: string, options: DefinitionOptions<Id, unknown>): CompiledDefinition<Id> {
  const { key = plainKey, jitter = 0.1, mode = 'fresh' } = options
  if (!NAME.test(name)) throw invalidOptions('name is not 1 to 64 of A-Z a-z 0-9 _ -')
  const ttlMs = duration('ttl', options.ttl, 1, 366 * DAY_MS)
  const negativeTtlMs = duration('negativeTtl', options.negativeTtl ?? Math.min(NEGATIVE_TTL_MS, ttlMs), 1, ttlMs)
  const staleMs = mode === 'fresh' ? 0 : duration('staleWhileRefresh', mode.staleWhileRefresh, 1, ttlMs)
  const leaseMs = duration('lease', options.lease ?? 3000, 50, 600_000)
  if (!(jitter >= 0 && jitter <= 0.5)) throw invalidOptions(`jitter is ${jitter}, not from 0 to 0.5`)
  return {
    name,
    ttlMs,
    negativeTtlMs,
    jitter,
    staleMs,
    leaseMs,
    keyOf: (id) => checkKey(name, key(id)),
  }
}

function duration(name: string, value: Duration, leastMs: number, mostMs: number): number {
  const ms = readDuration(value)
  if (ms !== undefined && ms >= leastMs && ms <= mostMs) return ms
  const shown = ms === undefined ? 'not milliseconds or a text such as 10m' : `not from ${leastMs} to ${mostMs} ms`
  throw invalidOptions(`${name} is ${JSON.stringify(value)}, ${shown}`)
}

function invalidOptions(reason: string): PostcommitError<'POSTCOMMIT_INVALID_OPTIONS'> {
  return new PostcommitError('POSTCOMMIT_INVALID_OPTIONS', { function: 'define', reason })
}
