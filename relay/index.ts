/** The relay for embedding; the daemon `postcommit run` is a thin shell around it. */

export type { DtmOptions } from './api/dtm/dtm-server.ts'
export type { RelayAddresses } from './api/listeners.ts'
export type { ApiOptions } from './api/server.ts'
export type { BrokerTrouble } from './broker/broker.ts'
export type { StreamOptions } from './broker/streams.ts'
export type { Transactions } from './coordinator/serve-transactions.ts'
export type { AddressRulesOptions } from './destinations/address-rules.ts'
export type { Delivery, Destination } from './destinations/destination.ts'
export type { DestinationCall } from './destinations/destination-call.ts'
export type { Handler } from './destinations/handler.ts'
export type { HttpDestinationOptions } from './destinations/http.ts'
export type { UrlDestinationOptions } from './destinations/url.ts'
export type { CallAnswer } from './engine/call-answer.ts'
export type { BackOff } from './engine/outcome.ts'
export { createMetrics, type Metrics } from './observe/metrics.ts'
export type { AppliedEntry } from './redis-outbox/applied-entry.ts'
export type { WriteEntries } from './redis-outbox/batch-writer.ts'
export type { RedisOutboxHealth, RedisOutboxSource } from './redis-outbox/serve-redis-outbox.ts'
export {
  type CoordinatorOptions,
  createRelay,
  type NatsOptions,
  type Relay,
  type RelayOptions,
  type SourceDatabase,
} from './relay.ts'
export type { RelayHealth } from './relay-health.ts'
export type { SourceHealth } from './serve-database.ts'
