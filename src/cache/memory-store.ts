import { randomUUID } from 'node:crypto'
import { APPLIED_MS, type CacheStore, type Claim } from './cache-store.ts'

interface Slot {
  value?: { readonly text: string; readonly claimedAt: number; readonly goneAt: number } | undefined
  lock?: { readonly lease: string; readonly claimedAt: number; readonly until: number } | undefined
  /** Set by an invalidation that left the value to readers that accept it. */
  staleUntil?: number | undefined
  applied?: { readonly id: string; readonly until: number } | undefined
}

/** What {@link memoryStore} takes. */
export interface MemoryStoreOptions {
  /** Its clock, milliseconds; default that of the process, which only goes forward. */
  readonly now?: () => number
}

/**
 * A store in this process, for tests and for a service of one process. Several caches that are given the same one
 * behave as several processes would.
 *
 * @example
 * ```ts
 * const cache = createCache({ store: memoryStore() })
 * ```
 */
export function memoryStore({ now = () => performance.now() }: MemoryStoreOptions = {}): CacheStore {
  const slots = new Map<string, Slot>()
  let board: string | undefined

  function slotOf(key: string): Slot {
    const slot = slots.get(key) ?? {}
    slots.set(key, slot)
    if (slot.value !== undefined && slot.value.goneAt <= now()) slot.value = undefined
    if (slot.staleUntil !== undefined && slot.staleUntil <= now()) {
      slot.value = undefined
      slot.staleUntil = undefined
    }
    if (slot.applied !== undefined && slot.applied.until <= now()) slot.applied = undefined
    return slot
  }

  const isHit = ({ value, staleUntil }: Slot, since: number): boolean =>
    value !== undefined && staleUntil === undefined && value.claimedAt >= since

  return {
    claim(key, { leaseMs, since, refused }): Claim {
      const slot = slotOf(key)
      const { value } = slot
      if (value !== undefined && isHit(slot, since) && value.text !== refused) return { state: 'hit', text: value.text }
      const trusted = value !== undefined && slot.staleUntil !== undefined && value.claimedAt >= since
      if (!trusted) slot.value = undefined
      const stale = trusted ? value.text : undefined
      if (slot.lock !== undefined && slot.lock.until > now()) return { state: 'wait', stale }
      const lease = randomUUID()
      slot.lock = { lease, claimedAt: now(), until: now() + leaseMs }
      return { state: 'load', lease, stale }
    },
    async fill(key, lease, text, ttlMs) {
      const slot = slotOf(key)
      if (slot.lock?.lease !== lease) return false
      slot.value = { text, claimedAt: slot.lock.claimedAt, goneAt: now() + ttlMs }
      slot.lock = undefined
      slot.staleUntil = undefined
      return true
    },
    async release(key, lease) {
      const slot = slotOf(key)
      if (slot.lock?.lease === lease) slot.lock = undefined
    },
    async invalidate(key, { staleMs, id }) {
      const slot = slotOf(key)
      if (id !== '' && slot.applied?.id === id) return
      slot.applied = id === '' ? undefined : { id, until: now() + APPLIED_MS }
      slot.lock = undefined
      if (staleMs === 0 || slot.value === undefined) slot.value = undefined
      else slot.staleUntil = Math.min(slot.staleUntil ?? Number.POSITIVE_INFINITY, now() + staleMs)
    },
    async peek(key, since) {
      const slot = slotOf(key)
      return isHit(slot, since) ? slot.value : undefined
    },
    readBoard: async () => ({ text: board, nowMs: now(), doubtfulAtMs: 0 }),
    async swapBoard(before, after) {
      if (board !== before) return false
      board = after
      return true
    },
    onInterrupted: () => () => undefined,
    close: async () => undefined,
  }
}
