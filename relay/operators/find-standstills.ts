import { NATS_DESTINATION } from 'postcommit/protocol'
import type { Trouble } from '../store/broker/select-trouble.ts'
import type { LogBacklog } from '../store/log/select-log-backlog.ts'
import type { ShardPosition } from '../store/log/select-positions.ts'
import type { RelayRow } from '../store/member/select-relays.ts'
import { troubleText } from './trouble-text.ts'

/** Something that keeps messages from going on. */
export interface Standstill {
  /** `relay`, `nats`, `destination stock`, `subject order.placed` or `stream ORDERS`. */
  readonly scope: string
  readonly cause: string
  /** A sentence for an operator. */
  readonly reason: string
  /** null: not known. */
  readonly since: Date | null
  readonly forMs: number | null
  readonly nextProbeInMs: number | null
  /** The relays that say so. */
  readonly relays: readonly string[]
}

/** What live relays say is in their way. */
export function standstillOf(trouble: Trouble): Standstill {
  const { scope, cause, since, forMs, nextProbeInMs, relays } = trouble
  return { scope, cause, reason: troubleText(trouble), since, forMs, nextProbeInMs, relays }
}

/**
 * What keeps messages of a database from going on: what live relays say, and what no relay can say, because none is
 * there or none publishes.
 */
export function findStandstills(state: {
  readonly log: LogBacklog
  readonly relays: readonly Pick<RelayRow, 'alive' | 'leaseMs'>[]
  readonly shards: readonly Pick<ShardPosition, 'owner'>[]
  readonly troubles: readonly Trouble[]
}): readonly Standstill[] {
  const { log, relays, shards, troubles } = state
  const told = troubles.map(standstillOf)
  const isLive = relays.some(({ alive, leaseMs }) => alive && leaseMs > 0)
  if (!isLive) return [untold('relay', 'none is running', 'no relay is running for this database'), ...told]
  // Without a broker a shard has no owner; that is a standstill only for those who publish.
  const isUnowned = log.messages !== 0 && shards.some(({ owner }) => owner === null)
  if (!isUnowned) return told
  return [untold(NATS_DESTINATION, 'no owner', 'relays are running, but none publishes a part of the log'), ...told]
}

function untold(scope: string, cause: string, reason: string): Standstill {
  return { scope, cause, reason, since: null, forMs: null, nextProbeInMs: null, relays: [] }
}
