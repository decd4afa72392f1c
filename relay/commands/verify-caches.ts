import { PostcommitError } from 'postcommit/protocol'
import type { NamedCache } from './shell/cache-module.ts'
import { reasonOf } from './shell/sources.ts'

/** A value that is to be compared. */
export interface ValueToCheck {
  /** The name of its definition. */
  readonly name: string
  readonly id: unknown
}

/** What the comparison of one definition of one cache has found. */
export interface CheckedValues {
  readonly cache: string
  readonly name: string
  readonly checked: number
  readonly cached: number
  /** Keys that hold something else than the database, and in which properties; null: as a whole. */
  readonly inconsistent: readonly { readonly key: string; readonly differsIn: readonly string[] | null }[]
  /** Values that could not be compared, and why. */
  readonly failed: readonly { readonly id: unknown; readonly reason: string }[]
}

/** How values are compared. */
export interface CheckOptions {
  readonly graceMs: number
  /** When to stop, by the monotonic clock. */
  readonly deadline: number
}

/** Loads that a check asks the database for at once. */
const AT_ONCE = 16

/**
 * Compares values in every cache that defines them, until the time is over.
 * @throws `POSTCOMMIT_CACHE_UNREACHABLE`.
 */
export async function verifyCaches(
  caches: readonly NamedCache[],
  values: readonly ValueToCheck[],
  { graceMs, deadline }: CheckOptions,
): Promise<{ readonly values: readonly CheckedValues[]; readonly complete: boolean }> {
  const found = new Map<string, Mutable<CheckedValues>>()
  const todo = caches.flatMap(({ name: of, cache }) =>
    values.flatMap(({ name, id }) => {
      if (!(name in cache.stats)) return []
      const place = `${of} ${name}`
      const into = found.get(place) ?? { cache: of, name, checked: 0, cached: 0, inconsistent: [], failed: [] }
      found.set(place, into)
      return [{ cache, into, id }]
    }),
  )
  const next = todo.values()
  let left = todo.length
  const work = async (): Promise<void> => {
    for (const { cache, into, id } of next) {
      if (performance.now() > deadline) return
      try {
        const { checked, cached, inconsistent } = await cache.verify(into.name, [id], { graceMs })
        into.checked += checked
        into.cached += cached
        into.inconsistent.push(
          ...inconsistent.map((one) => ({ key: one.key, differsIn: differences(one.cached, one.loaded) })),
        )
      } catch (error) {
        if (error instanceof Error && 'code' in error && error.code === UNREACHABLE) throw ownError(error)
        into.failed.push({ id, reason: reasonOf(error) })
      }
      left -= 1
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, work))
  return { values: [...found.values()], complete: left === 0 }
}

const UNREACHABLE = 'POSTCOMMIT_CACHE_UNREACHABLE'

/** The module may have a copy of the package of its own, with a class of its own. */
function ownError(error: Error): PostcommitError<typeof UNREACHABLE> {
  const reason = reasonOf(error.cause ?? error)
  return new PostcommitError(UNREACHABLE, { reason }, { cause: error })
}

/** The names of the properties that differ: enough to find the cause, and no payload. */
function differences(cached: string, loaded: string): readonly string[] | null {
  const [one, other]: unknown[] = [JSON.parse(cached), JSON.parse(loaded)]
  if (!isRecord(one) || !isRecord(other)) return null
  const names = new Set([...Object.keys(one), ...Object.keys(other)])
  return [...names].filter((name) => JSON.stringify(one[name]) !== JSON.stringify(other[name]))
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

type Mutable<T> = { -readonly [Name in keyof T]: T[Name] extends readonly (infer Item)[] ? Item[] : T[Name] }
