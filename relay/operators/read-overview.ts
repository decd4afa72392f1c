import { originOf } from '../engine/whereabouts.ts'
import { type BrokerLoss, selectBrokerLosses } from '../store/broker/select-broker-losses.ts'
import { selectTrouble, type Trouble } from '../store/broker/select-trouble.ts'
import { countClaims } from '../store/delivery/count-claims.ts'
import { countDeliveries, type DeliveryCount } from '../store/delivery/count-deliveries.ts'
import { type LogBacklog, selectLogBacklog } from '../store/log/select-log-backlog.ts'
import { type ShardPosition, selectPositions } from '../store/log/select-positions.ts'
import { type RelayRow, selectRelays } from '../store/member/select-relays.ts'
import type { Queryable } from '../store/queryable.ts'
import { type StockRow, selectStocks } from '../store/redis-outbox/select-stocks.ts'
import { selectInstallation } from '../store/server/select-installation.ts'
import { selectServerFacts } from '../store/server/select-server-facts.ts'
import { countTransactions, type TransactionCounts } from '../store/transaction/count-transactions.ts'

/** A relay, and how many deliveries it has claimed; null: not known. */
export type RelayAtWork = RelayRow & { readonly claims: number | null }

/** How a source database stands. */
export interface Overview {
  readonly log: LogBacklog
  /** Where the log was written, if not in this database: then nothing is known of what waits. */
  readonly origin: string | null
  /** Why committed transactions may be missing. */
  readonly doubt: string | null
  /** null: not known, as what is null in `log`. */
  readonly deliveries: readonly DeliveryCount[] | null
  /** Global transactions that have not ended. */
  readonly transactions: TransactionCounts
  /** What is sold in Redis. */
  readonly stocks: readonly StockRow[]
  readonly relays: readonly RelayAtWork[]
  readonly shards: readonly ShardPosition[]
  /** Streams that had lost what they acknowledged, within the retention. */
  readonly losses: readonly BrokerLoss[]
  /** What relays say is in their way. */
  readonly troubles: readonly Trouble[]
}

const LOCK_NOT_AVAILABLE = '55P03'
const QUERY_CANCELED = '57014'

/** Reads how a source database stands. */
export async function readOverview(client: Queryable): Promise<Overview> {
  const [log, deliveries, claims, transactions, stocks, relays, shards, losses, installation, facts, troubles] =
    await Promise.all([
      selectLogBacklog(client).catch(orUnknown({ messages: null, oldestAgeSeconds: null })),
      countDeliveries(client).catch(orUnknown(null)),
      countClaims(client).catch(orUnknown(null)),
      countTransactions(client),
      selectStocks(client),
      selectRelays(client),
      selectPositions(client),
      selectBrokerLosses(client),
      selectInstallation(client),
      selectServerFacts(client),
      selectTrouble(client),
    ])
  const { doubt } = installation
  const origin = originOf(installation, facts) ?? null
  const atWork = relays.map((relay) => ({ ...relay, claims: claims && (claims.get(relay.id) ?? 0) }))
  return { origin, doubt, log, deliveries, transactions, stocks, relays: atWork, shards, losses, troubles }
}

/** What is locked, or takes too long to count, is not known; all else is worth showing. */
function orUnknown<T>(unknown: T): (error: unknown) => T {
  return (error) => {
    const code = typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined
    if (code === LOCK_NOT_AVAILABLE || code === QUERY_CANCELED) return unknown
    throw error
  }
}
