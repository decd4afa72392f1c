import { PostcommitError } from '../protocol/errors.ts'
import type { Cache } from './cache.ts'
import type { CacheStats } from './cache-stats.ts'

const COUNTERS: readonly { readonly of: keyof CacheStats; readonly name: string; readonly help: string }[] = [
  { of: 'hits', name: 'hits_total', help: 'Reads answered from the store, stale ones included.' },
  { of: 'stale', name: 'stale_hits_total', help: 'Of those, answered with what an invalidation had left.' },
  { of: 'firstLevel', name: 'first_level_hits_total', help: 'Of those, answered from the memory of the process.' },
  { of: 'misses', name: 'misses_total', help: 'Reads answered by a load, of their own or of another reader.' },
  { of: 'loads', name: 'loads_total', help: 'Calls of the loader.' },
  { of: 'loadsFailed', name: 'load_failures_total', help: 'Of those, the ones that failed.' },
  { of: 'bypassed', name: 'bypasses_total', help: 'Loads past a store that was switched off or away.' },
  { of: 'fillsDropped', name: 'dropped_fills_total', help: 'Loads not stored because of an invalidation meanwhile.' },
  { of: 'mismatched', name: 'mismatches_total', help: 'Stored values that the schema refused.' },
  { of: 'invalidated', name: 'invalidations_total', help: 'Invalidations applied to the store.' },
  { of: 'verified', name: 'verified_total', help: 'Values compared with the database.' },
  { of: 'inconsistent', name: 'inconsistent_total', help: 'Of those, the ones that were old. To be 0.' },
]

const PREFIX = 'postcommit_cache_'
const LABEL = /^[A-Za-z0-9_-]{1,64}$/

/**
 * What the caches of this process have counted, in the text format of Prometheus: to be appended to what the process
 * exposes anyway, whatever that is made with. Counters are by cache and by definition.
 *
 * @param caches - the caches by the name that they have in the metrics, 1 to 64 of `A-Z a-z 0-9 _ -`
 * @throws `POSTCOMMIT_INVALID_OPTIONS`.
 * @example
 * ```ts
 * response.end((await registry.metrics()) + cacheMetrics({ shop: cache }))
 * ```
 */
export function cacheMetrics(caches: Readonly<Record<string, Cache>>): string {
  const named = Object.entries(caches)
  for (const [cache] of named) {
    if (LABEL.test(cache)) continue
    const reason = `the name ${JSON.stringify(cache)} is not 1 to 64 of A-Z a-z 0-9 _ -`
    throw new PostcommitError('POSTCOMMIT_INVALID_OPTIONS', { function: 'cacheMetrics', reason })
  }
  const counted = named.flatMap(([cache, { stats }]) =>
    Object.entries(stats).map(([values, counts]) => ({ labels: `{cache="${cache}",values="${values}"}`, counts })),
  )
  const reading = named.map(([cache, { readsFrom }]) => `{cache="${cache}"} ${readsFrom === 'cache' ? 1 : 0}`)
  return [
    ...metric(
      'reading',
      'gauge',
      'Whether reads are answered from the store: 0 while it is switched off or away.',
      reading,
    ),
    ...COUNTERS.flatMap(({ of, name, help }) =>
      metric(
        name,
        'counter',
        help,
        counted.map(({ labels, counts }) => `${labels} ${counts[of]}`),
      ),
    ),
    '',
  ].join('\n')
}

function metric(name: string, type: string, help: string, samples: readonly string[]): readonly string[] {
  const full = PREFIX + name
  return [`# HELP ${full} ${help}`, `# TYPE ${full} ${type}`, ...samples.map((sample) => full + sample)]
}
