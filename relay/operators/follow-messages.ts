import { parseSnapshot } from '../engine/snapshot.ts'
import { selectAttemptsAfter } from '../store/delivery/select-attempts-after.ts'
import { selectConfirmedAfter } from '../store/delivery/select-confirmed-after.ts'
import { type ShardPosition, selectPositions } from '../store/log/select-positions.ts'
import { selectPublishedBetween } from '../store/log/select-published-between.ts'
import { selectTailStart } from '../store/log/select-tail-start.ts'
import type { ReadableSource } from './readable-source.ts'

/** Something that happened to a message. */
export interface MessageEvent {
  readonly source: string
  readonly at: Date
  readonly event: 'published' | 'confirmed' | 'failed' | 'unavailable' | 'dead' | 'requeued' | 'discarded'
  readonly gid: string
  readonly branch: number
  readonly destination: string
  readonly target: string
  readonly key: string | null
  /** 1 for the first; null for a publish straight from the log. */
  readonly attempt: number | null
  /** From the commit to the confirmation, where the database knows it. */
  readonly tookMs: number | null
  readonly detail: string | null
  /** The relay or the person. */
  readonly actor: string | null
}

/** What one look found. */
export interface Look {
  readonly events: readonly MessageEvent[]
  /** Whether more happened than one look shows. */
  readonly more: boolean
}

/** Rows of one kind in one look; a terminal cannot show more, and the database is to be bothered little. */
const LIMIT = 1000
// Ids and times are drawn before the commit that shows them; so much of the past is read again for latecomers.
const OVERLAP_IDS = 200n
const OVERLAP_MS = 2000

/** Watches one database; each call of the function that it resolves to tells what happened since the last. */
export async function followMessages({ source, pool }: ReadableSource): Promise<() => Promise<Look>> {
  const start = await selectTailStart(pool)
  const shown = recentlyShown()
  let positions = new Map((await selectPositions(pool)).map((position) => [position.shard, position]))
  let attemptId = BigInt(start.attemptId)
  let confirmedAt = start.now
  // What is in the overlap at the start is the past.
  for (const { id } of await selectAttemptsAfter(pool, String(attemptId - OVERLAP_IDS), LIMIT)) shown.isNew(`a${id}`)
  for (const { id } of await selectConfirmedAfter(pool, before(confirmedAt), LIMIT)) shown.isNew(`c${id}`)

  async function published(): Promise<MessageEvent[]> {
    const current = await selectPositions(pool)
    const rows = await Promise.all(
      current.map(async (position) => {
        const last = positions.get(position.shard)
        return last === undefined || !isSameRange(last, position) ? [] : publishedSince(pool, last, position)
      }),
    )
    positions = new Map(current.map((position) => [position.shard, position]))
    return rows.flat().map(({ gid, branch, topic, key }) => ({
      source,
      at: new Date(),
      event: 'published',
      gid,
      branch,
      destination: 'nats',
      target: topic,
      key,
      attempt: null,
      tookMs: null,
      detail: null,
      actor: null,
    }))
  }

  async function attempts(): Promise<MessageEvent[]> {
    const rows = await selectAttemptsAfter(pool, String(attemptId - OVERLAP_IDS), LIMIT)
    for (const { id } of rows) attemptId = BigInt(id) > attemptId ? BigInt(id) : attemptId
    return rows
      .filter(({ id }) => shown.isNew(`a${id}`))
      .map(({ id: _, durationMs: __, status: ___, ...attempt }) => ({ source, tookMs: null, ...attempt }))
  }

  async function confirmed(): Promise<MessageEvent[]> {
    const rows = await selectConfirmedAfter(pool, before(confirmedAt), LIMIT)
    for (const { settledAt } of rows) confirmedAt = settledAt > confirmedAt ? settledAt : confirmedAt
    return rows
      .filter(({ id }) => shown.isNew(`c${id}`))
      .map(({ id: _, settledAt, attempts: failed, status, ...message }) => ({
        source,
        event: 'confirmed',
        at: settledAt,
        attempt: failed + 1,
        detail: status === null ? null : `answered ${status}`,
        actor: null,
        ...message,
      }))
  }

  return async () => {
    const found = [await published(), await attempts(), await confirmed()]
    const events = found.flat().toSorted((a, b) => a.at.getTime() - b.at.getTime())
    return { events, more: found.some(({ length }) => length >= LIMIT) }
  }
}

function publishedSince(pool: ReadableSource['pool'], last: ShardPosition, now: ShardPosition) {
  if (last.snapshot === now.snapshot) return []
  const { low, slotFirst, slotLast } = last
  const range = { after: parseSnapshot(last.snapshot), until: now.snapshot, low, slotFirst, slotLast }
  return selectPublishedBetween(pool, range, LIMIT)
}

/** After a shard was split its numbers mean other parts of the log. */
function isSameRange(a: ShardPosition, b: ShardPosition): boolean {
  return a.slotFirst === b.slotFirst && a.slotLast === b.slotLast
}

function before(moment: Date): Date {
  return new Date(moment.getTime() - OVERLAP_MS)
}

/** Remembers the last few thousand names, which is more than an overlap holds. */
function recentlyShown() {
  const names = new Set<string>()
  return {
    isNew(name: string): boolean {
      if (names.has(name)) return false
      names.add(name)
      // A Set keeps the order of insertion.
      for (const oldest of names) {
        if (names.size <= 8 * LIMIT) break
        names.delete(oldest)
      }
      return true
    },
  }
}
