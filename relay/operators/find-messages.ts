import { selectTrouble } from '../store/broker/select-trouble.ts'
import { type Attempt, selectAttempts } from '../store/delivery/select-attempts.ts'
import { selectPositions } from '../store/log/select-positions.ts'
import { selectRelays } from '../store/member/select-relays.ts'
import type { MessageState } from '../store/message/message-state.ts'
import { type InspectedDelivery, selectDeliveriesOfGid } from '../store/message/select-deliveries-of-gid.ts'
import { selectGidClaim } from '../store/message/select-gid-claim.ts'
import { type InsertedWithin, type InspectedLogRow, selectLogOfGid } from '../store/message/select-log-of-gid.ts'
import { selectEntriesOfGid } from '../store/redis-outbox/select-entries-of-gid.ts'
import { explain, type RelayPresence } from './explain.ts'
import type { ReadableSource } from './readable-source.ts'

/** One message of a gid, with its story and the sentence that sums it up. */
export interface InspectedMessage {
  readonly id: string
  readonly gid: string
  readonly branch: number
  readonly state: MessageState
  readonly explanation: string
  readonly destination: string
  readonly target: string
  readonly key: string | null
  readonly attempts: number
  readonly createdAt: Date
  readonly ageMs: number
  readonly dueInMs: number | null
  readonly history: readonly Omit<Attempt, 'deliveryId'>[]
  /** JSON as it is sent, or the length of a binary body. */
  readonly payload: string | undefined
  readonly headers: string | null | undefined
}

/** Attempts that are shown of one gid: a message that failed for days has thousands. */
const HISTORY_MAX = 100
// The clock in a gid is that of the service's host, and the transaction may have been long.
const BEFORE_MS = 15 * 60_000
const AFTER_MS = 60 * 60_000

/** Finds what one database knows of a gid. */
export async function findMessages({ source, pool }: ReadableSource, gid: string) {
  const deliveries = await selectDeliveriesOfGid(pool, gid)
  const [attempts, positions, relays, claimedAt, entries, troubles] = await Promise.all([
    selectAttempts(
      pool,
      deliveries.map(({ id }) => id),
      HISTORY_MAX,
    ),
    selectPositions(pool),
    selectRelays(pool),
    selectGidClaim(pool, gid),
    selectEntriesOfGid(pool, gid),
    selectTrouble(pool),
  ])
  const committedAt = claimedAt ?? entries[0]?.appliedAt
  const live = relays.filter(({ alive, leaseMs }) => alive && leaseMs > 0)
  const presence: RelayPresence = {
    live: live.length,
    troubles,
    destinations: new Set(live.flatMap(({ destinations }) => destinations)),
    lastSavedMs: positions.some(({ epoch }) => epoch !== '0')
      ? Math.min(...positions.map(({ savedAgeMs }) => savedAgeMs))
      : undefined,
  }
  const logged = await findInLog(pool, gid, committedAt)
  const setAside = new Set(deliveries.map(({ id }) => id))
  const messages = [
    ...logged.filter(({ id }) => !setAside.has(id)).map((row) => inspectLogRow(gid, row, presence)),
    ...deliveries.map((row) =>
      inspectDelivery(
        gid,
        row,
        attempts.filter(({ deliveryId }) => deliveryId === row.id),
        presence,
      ),
    ),
  ]
  return { source, committedAt, entries, messages: messages.toSorted((a, b) => a.branch - b.branch) }
}

/** Looks where the gid says that it was drawn, and only then through the whole log. */
async function findInLog(pool: ReadableSource['pool'], gid: string, committedAt: Date | undefined) {
  const near = committedAt?.getTime() ?? drawnAtMs(gid)
  if (near !== undefined) {
    const within: InsertedWithin = { fromMs: near - BEFORE_MS, toMs: near + AFTER_MS }
    const rows = await selectLogOfGid(pool, gid, within)
    if (rows.length > 0) return rows
  }
  return selectLogOfGid(pool, gid, undefined)
}

/** The time in a UUID version 7; undefined for a gid of the caller's own. */
export function drawnAtMs(gid: string): number | undefined {
  const match = /^([0-9a-f]{8})-([0-9a-f]{4})-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/.exec(gid)
  return match === null ? undefined : Number.parseInt(`${match[1]}${match[2]}`, 16)
}

function inspectLogRow(gid: string, row: InspectedLogRow, presence: RelayPresence): InspectedMessage {
  const { id, branch, topic, key, createdAt, ageMs, headers } = row
  const state = row.handedOn ? 'published' : 'waiting'
  const facts = { gid, branch, state, destination: 'nats', target: topic, key, attempts: 0, ageMs } as const
  const explanation = explain(
    {
      ...facts,
      lastError: null,
      withheldBy: null,
      dueInMs: 0,
      settledAfterMs: undefined,
      claimedBy: null,
      head: undefined,
      logOwner: row.owner,
      discarded: undefined,
    },
    presence,
  )
  return { ...facts, id, explanation, createdAt, dueInMs: null, history: [], payload: payloadOf(row), headers }
}

function inspectDelivery(
  gid: string,
  row: InspectedDelivery,
  attempts: readonly Attempt[],
  presence: RelayPresence,
): InspectedMessage {
  const { id, branch, state, destination, target, key, lastError, dueInMs, ageMs, claimedBy, createdAt, headers } = row
  const discard = attempts.findLast(({ event }) => event === 'discarded')
  const facts = { gid, branch, state, destination, target, key, attempts: row.attempts, ageMs }
  const explanation = explain(
    {
      ...facts,
      lastError,
      withheldBy: row.withheldBy,
      dueInMs,
      claimedBy,
      settledAfterMs: row.settledAt === null ? undefined : row.settledAt.getTime() - createdAt.getTime(),
      head:
        row.headGid === null || row.headBranch === null || row.headState === null
          ? undefined
          : { gid: row.headGid, branch: row.headBranch, state: row.headState },
      logOwner: null,
      discarded: discard === undefined ? undefined : { by: discard.actor, reason: discard.detail ?? '' },
    },
    presence,
  )
  const history = attempts.map(({ deliveryId: _, ...attempt }) => attempt)
  return {
    ...facts,
    id,
    explanation,
    createdAt,
    dueInMs: state === 'pending' ? dueInMs : null,
    history,
    payload: payloadOf(row),
    headers,
  }
}

function payloadOf({ payload, bodyBytes }: Pick<InspectedDelivery, 'payload' | 'bodyBytes'>): string {
  return payload ?? `${bodyBytes} bytes`
}
