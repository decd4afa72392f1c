import { setImmediate as turn } from 'node:timers/promises'
import type fc from 'fast-check'
import { type CacheStore, createCache } from 'postcommit/cache'
import { BrokenPromise } from './store-history.ts'

/** What one of the readers and writers does. */
export type Act = { readonly do: 'read'; readonly process: number } | { readonly do: 'write'; readonly process: number }

/**
 * Plays acts in several processes over one store, in any order that a network could bring about: every step of a store
 * happens some time after it was asked for, and is answered some time after that; so do loads.
 * Promised: a read that begins when an invalidation is done returns nothing that is older than it.
 *
 * @param isWarm - whether a value is stored before; else the short histories are mostly about misses
 *
 * @throws BrokenPromise
 */
export async function playActs(
  scheduler: fc.Scheduler,
  store: CacheStore,
  acts: readonly Act[],
  isWarm: boolean,
): Promise<void> {
  const database = { version: 1 }
  const invalidated = { version: 0 }
  const travel = async <T>(label: string, arrive: () => Promise<T> | T): Promise<T> => {
    await scheduler.schedule(Promise.resolve(), `${label} arrives`)
    const answer = await arrive()
    await scheduler.schedule(Promise.resolve(), `${label} is answered`)
    return answer
  }
  const remote: CacheStore = {
    ...store,
    claim: (...asked) => travel('claim', () => store.claim(...asked)),
    fill: (...asked) => travel('fill', () => store.fill(...asked)),
    invalidate: (...asked) => travel('invalidation', () => store.invalidate(...asked)),
  }
  const processes = [0, 1].map(() => {
    const cache = createCache({ store: remote, timeout: '1h', onError: () => undefined })
    const load = () => travel('load', () => ({ version: database.version }))
    return { cache, values: cache.define<number, { version: number }>('product', { ttl: '1h', lease: '10m', load }) }
  })
  // The processes have begun: what follows is theirs alone.
  for (const { cache } of processes) while (cache.readsFrom !== 'cache') await turn()

  const run = async (act: Act): Promise<void> => {
    await scheduler.schedule(Promise.resolve(), `${act.do} begins`)
    const { values } = processes[act.process % processes.length] ?? {}
    if (act.do === 'write') {
      database.version += 1
      const { version } = database
      await values?.invalidate(1)
      invalidated.version = Math.max(invalidated.version, version)
      return
    }
    const floor = invalidated.version
    const seen = await values?.get(1)
    if ((seen?.version ?? 0) < floor) throw new BrokenPromise(`read ${seen?.version} after ${floor} was invalidated`)
  }
  try {
    if (isWarm) await scheduler.waitFor(Promise.resolve(processes[0]?.values.get(1)))
    await scheduler.waitFor(Promise.all(acts.map(run)))
    const { loads } = processes.reduce((sum, { values }) => ({ loads: sum.loads + values.stats.loads }), { loads: 0 })
    const writes = acts.filter((act) => act.do === 'write').length
    // One for the first read, one for each write, and one that a write has made useless for each.
    if (loads > 1 + 2 * writes) throw new BrokenPromise(`${loads} loads for ${writes} writes`)
  } finally {
    for (const { cache } of processes) await cache.close()
  }
}
