import { type Evaluate, evaluateOn, type IoredisLike, type NodeRedisLike, type Script } from '../../redis/evaluate.ts'
import { invalidOption } from '../barrier-options.ts'

/** What {@link redisStore} takes. */
export interface RedisStoreOptions {
  /**
   * The hash tag that all keys of the store share: with `shop` every key contains `{shop}`. One script can only reach
   * keys of one hash slot, and a back-query must look where the transaction has written.
   */
  readonly tag: string
  /**
   * How long the keys of the barrier live after the last call, default 30 days, at least one hour. It must be longer
   * than the longest time in which a call of a branch can still arrive; after it a repetition takes effect again.
   */
  readonly horizonMs?: number
}

declare const opened: unique symbol

/** A Redis with a place for the barrier's keys. */
export interface RedisStore {
  readonly tag: string
  readonly horizonMs: number
  /** @internal */
  readonly [opened]?: never
}

const clients = new WeakMap<RedisStore, Evaluate>()

const TAG = /^[A-Za-z0-9_.:-]{1,64}$/
const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
const HORIZON_MS_MAX = 3660 * DAY_MS

/**
 * Opens a Redis for barriers. Weaker than a database: a failover can forget what was answered, and `maxmemory-policy`
 * must be `noeviction`, or keys of the barrier are among what is thrown away.
 *
 * @throws `POSTCOMMIT_INVALID_OPTIONS`.
 */
export function redisStore(
  client: NodeRedisLike | IoredisLike,
  { tag, horizonMs = 30 * DAY_MS }: RedisStoreOptions,
): RedisStore {
  if (!TAG.test(tag)) throw invalidOption('redisStore', 'tag is not 1 to 64 of A-Z a-z 0-9 _ . : -')
  if (!Number.isInteger(horizonMs) || horizonMs < HOUR_MS || horizonMs > HORIZON_MS_MAX) {
    throw invalidOption('redisStore', `horizonMs is ${horizonMs}, not an integer from ${HOUR_MS} to ${HORIZON_MS_MAX}`)
  }
  const evaluate = evaluateOn(client)
  if (evaluate === undefined) throw invalidOption('redisStore', 'the client is neither of redis nor of ioredis')
  const store: RedisStore = { tag, horizonMs }
  clients.set(store, evaluate)
  return store
}

/** Whether it was made by {@link redisStore}. */
export function isRedisStore(store: object): store is RedisStore {
  return clients.has(store as RedisStore)
}

/** Runs a script; all keys have the store's tag. */
export async function evaluate(
  store: RedisStore,
  run: Script,
  keys: readonly string[],
  values: readonly (string | number)[],
): Promise<readonly unknown[]> {
  const reply = await clients.get(store)?.(run, keys, values.map(String))
  if (!Array.isArray(reply)) throw invalidOption('redisStore', 'the client gave a reply that is none of its script')
  return reply
}

/** The key of a row of the barrier; no part of it can contain a colon or a brace. */
export function rowKey({ tag }: RedisStore, gid: string, branch: string, op: string, id: string): string {
  return `{${tag}}:postcommit:${gid}:${branch}:${op}:${id}`
}
