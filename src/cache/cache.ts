import { sleep } from '../clock.ts'
import { type Duration, readDuration } from '../duration.ts'
import { PostcommitError } from '../protocol/errors.ts'
import { Attendance } from './attendance.ts'
import { type CacheStats, type CountedStats, noStats } from './cache-stats.ts'
import type { CacheStore } from './cache-store.ts'
import type { CachedValues, VerifyOptions } from './cached-values.ts'
import { createCodec } from './codec.ts'
import { type CompiledDefinition, compileDefinition, type DefinitionOptions } from './definition.ts'
import { LaterComparisons } from './later-comparisons.ts'
import { gatherLoads } from './loader.ts'
import { KeyReader } from './reader.ts'
import { laggards, type SwitchChange, setSwitch, switchProblem } from './switchboard.ts'
import { compareOne, type Verification } from './verify.ts'
import { within } from './within.ts'

/** What {@link createCache} takes. */
export interface CacheOptions {
  /** Where the values are: `redisStore`, `natsKvStore` or `memoryStore`. Each cache has a store of its own. */
  readonly store: CacheStore
  /** How long the store may take to answer before a read goes to the database, default 500 ms. */
  readonly timeout?: Duration
  /** Told when the store is lost, of refreshes that failed, and of old values. The default emits a process warning. */
  readonly onError?: (error: unknown, about: CacheTrouble) => void
}

/** What an error of a cache is about. */
export interface CacheTrouble {
  /**
   * `store`: reads go to the database until it is back. `refresh`: a value stays stale, at most to its deadline.
   * `inconsistent`: {@link Cache.verifyLater} has found a value that is not what the database holds.
   */
  readonly what: 'store' | 'refresh' | 'inconsistent'
  /** The key, where it is about one. */
  readonly key?: string
}

/** How {@link Cache.switch} is set. */
export interface SwitchOptions {
  /** How long to wait for all processes, default 10 s. */
  readonly timeout?: Duration
  /** Sets the switch although readers may then be shown what is out of date. */
  readonly force?: boolean
}

/** What {@link createCache} gives. */
export interface Cache extends AsyncDisposable {
  /** Names a kind of values and says how they are loaded. @throws `POSTCOMMIT_INVALID_OPTIONS`. */
  define<Id, Value = unknown>(name: string, options: DefinitionOptions<Id, Value>): CachedValues<Id, Value>
  /**
   * Applies an invalidation that came from elsewhere; `applyInvalidations` calls it.
   * @throws `POSTCOMMIT_CACHE_UNREACHABLE`: it has to be tried again.
   */
  apply(name: string, key: string, invalidationId: string): Promise<void>
  /**
   * What {@link CachedValues.verify} does, by the name of the definition.
   * @throws `POSTCOMMIT_INVALID_OPTIONS` if nothing of this name is defined; `POSTCOMMIT_CACHE_UNREACHABLE`; what the
   * loader throws.
   */
  verify(name: string, ids: readonly unknown[], options?: VerifyOptions): Promise<Verification>
  /**
   * Compares one value with the database some time from now, counts the result in {@link Cache.stats} and tells
   * `onError` of a value that is old. What is not defined here is not compared, what cannot be compared is not counted.
   * No more than a thousand comparisons wait at once; others are left out.
   */
  verifyLater(name: string, id: unknown, afterMs: number): void
  /**
   * Takes the cache out of use, or back, in all processes: `read`, then `invalidate`; back, `invalidate`, then `read`.
   *
   * Resolves when every process that uses the cache goes by it. The second step is refused before the first is
   * acknowledged by all: whoever still reads would be shown what nothing invalidates any more.
   *
   * @throws `POSTCOMMIT_CACHE_SWITCH_REFUSED`, `POSTCOMMIT_CACHE_SWITCH_PENDING`, `POSTCOMMIT_CACHE_UNREACHABLE`.
   * @example
   * ```ts
   * await cache.switch({ read: false })
   * await cache.switch({ invalidate: false }) // now the store can be taken away
   * ```
   */
  switch(change: SwitchChange, options?: SwitchOptions): Promise<void>
  /** `database`: the store is switched off, or cannot be reached at the moment. */
  readonly readsFrom: 'cache' | 'database'
  /** Counts of this process by definition. */
  readonly stats: Readonly<Record<string, CacheStats>>
  /** Stops using the store. Connections stay the caller's. */
  close(): Promise<void>
}

interface Defined {
  readonly compiled: CompiledDefinition<never>
  readonly stats: CountedStats
  readonly verify: CachedValues<never, unknown>['verify']
}

const APPLY_TIMEOUT_MS = 5000

/**
 * Opens a cache that cannot keep an old value: what is loaded is stored only if nothing has invalidated it since its
 * load began.
 *
 * - **Fresh**: a read that begins after an invalidation is done never returns what was there before.
 * - **One load** per key for all processes, while the others wait for it.
 * - **The database is never hidden**: errors of the loader reach the reader; a store that is away costs loads, and when
 *   it is back nothing is believed that it may have missed.
 *
 * @throws `POSTCOMMIT_INVALID_OPTIONS`.
 * @example
 * ```ts
 * const cache = createCache({ store: redisStore(client) })
 * const products = cache.define('product', {
 *   schema: z.object({ id: z.number(), price: z.number() }),
 *   ttl: '10m',
 *   load: (id: number) => db.selectFrom('products').selectAll().where('id', '=', id).executeTakeFirst(),
 * })
 * await products.get(42)
 * await outbox.commit(async (tx, message) => {
 *   await tx.updateTable('products').set({ price: 5 }).where('id', '=', 42).execute()
 *   message.invalidate(products, 42)
 * })
 * ```
 */
export function createCache({ store, timeout = 500, onError = warn }: CacheOptions): Cache {
  const timeoutMs = readDuration(timeout)
  if (timeoutMs === undefined || timeoutMs < 1) throw invalidOptions('createCache', `timeout is ${timeout}`)
  const attendance = new Attendance({ store, timeoutMs, onLost: (error) => onError(error, { what: 'store' }) })
  const defined = new Map<string, Defined>()
  const later = new LaterComparisons(onError)
  let isClosed = false

  async function tryToApply(name: string, key: string, invalidationId: string): Promise<void> {
    if (!attendance.isInvalidating) return
    const { compiled, stats } = defined.get(name) ?? {}
    try {
      const invalidation = { staleMs: compiled?.staleMs ?? 0, id: invalidationId }
      await within(APPLY_TIMEOUT_MS, store.invalidate(`${name}:${key}`, invalidation))
      if (stats !== undefined) stats.invalidated += 1
    } catch (cause) {
      attendance.failed(cause)
      throw unreachable(cause)
    }
  }

  async function apply(name: string, key: string, invalidationId: string): Promise<void> {
    try {
      await tryToApply(name, key, invalidationId)
    } catch (error) {
      // Nobody else sees to it: what is stored may be out of date from now on.
      attendance.missedInvalidation()
      throw error
    }
  }

  const cache: Cache = {
    apply,
    define<Id, Value>(name: string, options: DefinitionOptions<Id, Value>): CachedValues<Id, Value> {
      if (defined.has(name)) throw invalidOptions('define', `${name} is defined already`)
      const compiled = compileDefinition<Id>(name, options)
      const stats = noStats()
      const common = { store, attendance, timeoutMs, onError, apply, tryToApply, isClosed: () => isClosed }
      const values = valuesOf(compiled, options, { ...common, stats })
      defined.set(name, { compiled, stats, verify: values.verify })
      return values
    },
    async verify(name, ids, options) {
      const { verify } = defined.get(name) ?? {}
      if (verify === undefined) throw invalidOptions('verify', `${name} is not defined`)
      // Whoever defined them says what ids are; here they come back from a message or from a command line.
      return await verify(ids as never[], options)
    },
    verifyLater(name, id, afterMs) {
      if (defined.has(name)) later.add(() => cache.verify(name, [id]), afterMs)
    },
    switch: (change, options) => switchAll(attendance, change, options),
    get readsFrom() {
      return attendance.isReading ? 'cache' : 'database'
    },
    get stats() {
      return Object.fromEntries([...defined].map(([name, { stats }]) => [name, { ...stats }]))
    },
    async close() {
      isClosed = true
      later.stop()
      await attendance.close()
      await store.close()
    },
    [Symbol.asyncDispose]: () => cache.close(),
  }
  return cache
}

/** What a definition gets of its cache. */
interface Common {
  readonly store: CacheStore
  readonly attendance: Attendance
  readonly timeoutMs: number
  readonly onError: (error: unknown, about: CacheTrouble) => void
  readonly apply: Cache['apply']
  /** For a commit, whose message follows in any case. */
  readonly tryToApply: Cache['apply']
  readonly isClosed: () => boolean
  readonly stats: CountedStats
}

function valuesOf<Id, Value>(
  definition: CompiledDefinition<Id>,
  options: DefinitionOptions<Id, Value>,
  { store, attendance, timeoutMs, onError, apply, tryToApply, isClosed, stats }: Common,
): CachedValues<Id, Value> {
  const { name, keyOf } = definition
  const codec = createCodec(options.schema)
  const load = options.loadMany === undefined ? options.load : gatherLoads(options.loadMany)
  const reader = new KeyReader<Id, Value>({
    ...{ definition, codec, store, attendance, timeoutMs, stats },
    load: async (id) => await load(id),
    onRefreshFailed: (error, key) => onError(error, { what: 'refresh', key: `${name}:${key}` }),
  })
  const get = (id: Id): Promise<Value | null> =>
    isClosed() ? Promise.reject(new PostcommitError('POSTCOMMIT_CACHE_CLOSED')) : reader.get(id)
  return {
    name,
    stats,
    keyOf,
    get,
    getMany: (ids) => Promise.all(ids.map(get)),
    invalidate: (id) => apply(name, keyOf(id), ''),
    apply: (key, invalidationId) => tryToApply(name, key, invalidationId),
    async verify(ids, { graceMs = 1000 } = {}) {
      const since = () => attendance.believedSince().catch(rethrowUnreachable)
      const compare = (id: Id) =>
        compareOne({ store, codec, since, load: options.load, graceMs }, `${name}:${keyOf(id)}`, id)
      return count(stats, await Promise.all(ids.map(compare)))
    },
  }
}

async function switchAll(
  attendance: Attendance,
  change: SwitchChange,
  { timeout = 10_000, force = false }: SwitchOptions = {},
): Promise<void> {
  const timeoutMs = readDuration(timeout)
  if (timeoutMs === undefined) throw invalidOptions('switch', `timeout is ${timeout}`)
  const deadline = performance.now() + timeoutMs
  await attendance
    .update((board, nowMs) => {
      const problem = force ? undefined : switchProblem(board, change, nowMs)
      if (problem !== undefined) throw new PostcommitError('POSTCOMMIT_CACHE_SWITCH_REFUSED', { reason: problem })
      const isSet = Object.entries(change).every(([name, value]) => board[name as keyof SwitchChange] === value)
      return isSet ? undefined : setSwitch(board, change, nowMs)
    })
    .catch(rethrowUnreachable)
  for (;;) {
    let behind: readonly string[] = []
    const look = attendance.update((board, nowMs) => {
      behind = laggards(board, nowMs)
      return undefined
    })
    await look.catch(rethrowUnreachable)
    if (behind.length === 0) return
    if (performance.now() > deadline) {
      throw new PostcommitError('POSTCOMMIT_CACHE_SWITCH_PENDING', { timeoutMs, processes: behind.join(', ') })
    }
    await sleep(100)
  }
}

function count(stats: CountedStats, comparisons: readonly Awaited<ReturnType<typeof compareOne>>[]): Verification {
  const inconsistent = comparisons.flatMap(({ inconsistency }) => inconsistency ?? [])
  const cached = comparisons.filter((comparison) => comparison.cached).length
  stats.verified += cached
  stats.inconsistent += inconsistent.length
  return { checked: comparisons.length, cached, inconsistent }
}

function rethrowUnreachable(error: unknown): never {
  throw error instanceof PostcommitError ? error : unreachable(error)
}

function unreachable(cause: unknown): PostcommitError<'POSTCOMMIT_CACHE_UNREACHABLE'> {
  const reason = cause instanceof Error ? cause.message : String(cause)
  return new PostcommitError('POSTCOMMIT_CACHE_UNREACHABLE', { reason }, { cause })
}

function warn(error: unknown, { what, key }: CacheTrouble): void {
  const text = error instanceof Error ? error.message : String(error)
  process.emitWarning(`cache (${what}${key === undefined ? '' : ` ${key}`}): ${text}`, 'PostcommitWarning')
}

function invalidOptions(caller: string, reason: string): PostcommitError<'POSTCOMMIT_INVALID_OPTIONS'> {
  return new PostcommitError('POSTCOMMIT_INVALID_OPTIONS', { function: caller, reason })
}
