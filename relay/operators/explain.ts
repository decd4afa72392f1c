import { type DeliveryState, messageId, NATS_DESTINATION } from 'postcommit/protocol'
import type { Trouble } from '../store/broker/select-trouble.ts'
import type { MessageState } from '../store/message/message-state.ts'
import { formatDuration } from './duration.ts'
import { troubleText } from './trouble-text.ts'

/** What is known of one message. */
export interface MessageFacts {
  readonly gid: string
  readonly branch: number
  readonly state: MessageState
  readonly destination: string
  readonly target: string
  readonly key: string | null
  /** Attempts that failed. */
  readonly attempts: number
  readonly lastError: string | null
  /** The subject or stream for which it waits. */
  readonly withheldBy: string | null
  /** Until it is due or, while claimed, until the claim runs out. */
  readonly dueInMs: number
  readonly ageMs: number
  /** From the insert to the end, once it is confirmed or discarded. */
  readonly settledAfterMs: number | undefined
  /** The relay that has claimed it. */
  readonly claimedBy: string | null
  /** The first unsettled message of its key, if it is not the first itself. */
  readonly head: { readonly gid: string; readonly branch: number; readonly state: DeliveryState } | undefined
  /** The relay that reads its part of the log. */
  readonly logOwner: string | null
  /** What the person who discarded it gave as the reason. */
  readonly discarded: { readonly by: string; readonly reason: string } | undefined
}

/** Who could deliver it. */
export interface RelayPresence {
  readonly live: number
  /** The destinations that live relays have between them. */
  readonly destinations: ReadonlySet<string>
  /** Since a relay last saved how far it has read the log; undefined if none ever did. */
  readonly lastSavedMs: number | undefined
  /** What they say is in their way. */
  readonly troubles: readonly Trouble[]
}

/** Longer overdue than a relay takes to notice: somebody should look. */
const OVERDUE_MS = 5000

/** Where a message is and, if it is not delivered, why not: one sentence for a person. */
export function explain(message: MessageFacts, relays: RelayPresence): string {
  const { state, destination, target, attempts, settledAfterMs = 0 } = message
  switch (state) {
    case 'published':
      return `Published to NATS as ${target}.`
    case 'confirmed':
      return `Confirmed by ${destination} ${formatDuration(settledAfterMs)} after its commit, at attempt ${attempts + 1}.`
    case 'discarded': {
      const { by, reason } = message.discarded ?? { by: 'an operator', reason: 'the reason is not kept any more' }
      return `Discarded by ${by} and not delivered: ${reason}`
    }
    case 'dead':
      return `Dead letter: ${lastFailure(message)}. When the cause is fixed: postcommit dead-letter requeue ${idOf(message)}`
    case 'held':
      return explainHeld(message)
    case 'waiting':
      return explainWaiting(message, relays)
    case 'pending':
      return explainPending(message, relays)
  }
}

function explainWaiting({ logOwner, ageMs }: MessageFacts, relays: RelayPresence): string {
  if (relays.live === 0) return `Waiting: no relay has read it yet, because ${noRelay(relays)}.`
  const trouble = relays.troubles.find(({ scope }) => scope === NATS_DESTINATION)
  if (trouble !== undefined) return `Waiting for ${formatDuration(ageMs)}: ${troubleText(trouble)}.`
  if (logOwner === null) {
    return 'Waiting: relays are running, but none publishes to NATS. postcommit doctor says what is missing.'
  }
  const overdue =
    ageMs > OVERDUE_MS ? ' It tells of nothing that is in its way: it has much to publish, or is slow.' : ''
  return `Waiting for ${formatDuration(ageMs)}: relay ${logOwner} has it before it to publish.${overdue}`
}

function explainPending(message: MessageFacts, relays: RelayPresence): string {
  const { destination, dueInMs, claimedBy, head, attempts, lastError } = message
  if (head !== undefined) return explainHeld(message)
  if (claimedBy !== null && dueInMs > 0)
    return `On its way: relay ${claimedBy} is at attempt ${attempts + 1} to ${destination} now.`
  if (relays.live === 0)
    return `Waiting: ${lastError === null ? '' : `${lastFailure(message)}, and `}${noRelay(relays)}.`
  if (!relays.destinations.has(destination)) {
    return `Waiting: no running relay has a destination named ${destination}. Add it to the configuration of one.`
  }
  const trouble = troubleOf(message, relays)
  if (trouble !== undefined) return `Waiting: ${troubleText(trouble)}.`
  if (message.withheldBy !== null) {
    return `Waiting: ${message.withheldBy} takes no messages (${lastError ?? 'no reason is known'}). It is due when a probe gets through.`
  }
  if (dueInMs < -OVERDUE_MS) {
    const because = lastError === null ? '' : ` (${lastFailure(message)})`
    return `Overdue by ${formatDuration(-dueInMs)}${because}: ${destination} has all it can take at once.`
  }
  if (lastError === null)
    return dueInMs > 0 ? `Not due yet: ${inTime(dueInMs)}.` : 'Due now: a relay is about to take it.'
  return `Waiting: ${lastFailure(message)}; next try ${inTime(dueInMs)}.`
}

/** What is in its way: its subject or stream, or its destination as a whole. */
function troubleOf({ withheldBy, destination }: MessageFacts, { troubles }: RelayPresence): Trouble | undefined {
  const scope = destination === NATS_DESTINATION ? NATS_DESTINATION : `destination ${destination}`
  return troubles.find((trouble) => trouble.scope === withheldBy) ?? troubles.find((trouble) => trouble.scope === scope)
}

function explainHeld({ key, head }: MessageFacts): string {
  if (head === undefined) return `Held behind an earlier message of its key ${key}, which has just been settled.`
  const wayOut = head.state === 'dead' ? ' Requeue or discard that one to let it pass.' : ''
  return `Held behind ${idOf(head)} (${head.state}) of the same key ${key}.${wayOut}`
}

function lastFailure({ attempts, destination, lastError }: MessageFacts): string {
  // Without a burnt attempt the destination was away, which says nothing about this message.
  const what = attempts === 0 ? destination : `attempt ${attempts} to ${destination}`
  return lastError === null ? `${what} failed` : `${what}: ${lastError}`
}

function noRelay({ lastSavedMs }: RelayPresence): string {
  const last = lastSavedMs === undefined ? '' : ` (the log was last read ${formatDuration(lastSavedMs)} ago)`
  return `no relay is running${last}`
}

function inTime(milliseconds: number): string {
  return milliseconds <= 0 ? 'now' : `in ${formatDuration(milliseconds)}`
}

function idOf({ gid, branch }: { readonly gid: string; readonly branch: number }): string {
  return messageId(gid, branch)
}
