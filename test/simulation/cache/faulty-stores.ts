import { type CacheStore, memoryStore } from 'postcommit/cache'

/** A store that breaks one promise. */
export interface FaultyStore {
  readonly promise: string
  open(now: () => number): CacheStore
}

/** A fault for each promise of a store; tests see every one of them found. */
export const FAULTY_STORES: readonly FaultyStore[] = [
  {
    promise: 'a fill needs the newest lease',
    open(now) {
      const store = memoryStore({ now })
      return {
        ...store,
        async fill(key, lease, text, ttlMs) {
          if (await store.fill(key, lease, text, ttlMs)) return true
          // As SET does: whoever comes last has it.
          const claim = await store.claim(key, { leaseMs: 1, since: Number.POSITIVE_INFINITY })
          return claim.state === 'load' ? await store.fill(key, claim.lease, text, ttlMs) : true
        },
      }
    },
  },
  {
    promise: 'an invalidation ends the lease',
    open(now) {
      const store = memoryStore({ now })
      const leases = new Map<string, string>()
      return {
        ...store,
        async claim(key, options) {
          const claim = await store.claim(key, options)
          if (claim.state === 'load') leases.set(key, claim.lease)
          return claim
        },
        async invalidate(key, invalidation) {
          const held = leases.get(key)
          // The value goes, the lock stays: as DEL beside a lock of its own key.
          if (held === undefined || (await store.peek(key, 0)) !== undefined) await store.invalidate(key, invalidation)
        },
      }
    },
  },
  {
    promise: 'a dropped fill is said to be dropped',
    open(now) {
      const store = memoryStore({ now })
      return {
        ...store,
        async fill(key, lease, text, ttlMs) {
          await store.fill(key, lease, text, ttlMs)
          return true
        },
      }
    },
  },
  {
    promise: 'one lease at a time',
    open(now) {
      const store = memoryStore({ now })
      return {
        ...store,
        async claim(key, options) {
          const claim = await store.claim(key, options)
          if (claim.state !== 'wait' || claim.stale !== undefined) return claim
          await store.invalidate(key, { staleMs: 0, id: '' })
          return await store.claim(key, options)
        },
      }
    },
  },
  {
    promise: 'an invalidation is done when it says so',
    open(now) {
      const store = memoryStore({ now })
      let late: (() => Promise<void>) | undefined
      return {
        ...store,
        async claim(key, options) {
          const claim = await store.claim(key, options)
          await late?.()
          late = undefined
          return claim
        },
        async invalidate(key, invalidation) {
          late = () => store.invalidate(key, invalidation)
        },
      }
    },
  },
  {
    promise: 'the deadline of a stale value only comes nearer',
    open(now) {
      const store = memoryStore({ now })
      return {
        ...store,
        // As a time to live that is set anew by each failure.
        invalidate: (key, { staleMs, id }) => store.invalidate(key, { staleMs: staleMs * 100, id }),
      }
    },
  },
  {
    promise: 'what was claimed too long ago is not believed',
    open(now) {
      const store = memoryStore({ now })
      return { ...store, claim: (key, options) => store.claim(key, { ...options, since: 0 }) }
    },
  },
]
