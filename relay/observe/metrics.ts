import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import { LatencyHistogram } from './latency-histogram.ts'

/**
 * Everything the relay counts. Names and labels are public contract (`docs/operations.md` lists them, a test
 * compares). Labels are configured names only: a gid, topic or URL as a label would be unbounded and would leak.
 */
export interface Metrics {
  /** The registry that the relay serves at `/metrics`. */
  readonly registry: Registry
  /** Messages acknowledged by the broker straight from the log. */
  readonly published: Counter<'source'>
  /** Messages set aside from the log because their subject or an earlier message of their key failed. */
  readonly parked: Counter<'source'>
  /** Publishes that JetStream answered as duplicates of an earlier one. */
  readonly duplicates: Counter<'source'>
  /** Deliveries attempted, by outcome: confirmed, failed, refused, unavailable, withheld. */
  readonly attempts: Counter<'source' | 'destination' | 'outcome'>
  /** From the insert in the business transaction to the confirmation, by the clock of the database. */
  readonly commitToConfirm: LatencyHistogram<'source' | 'destination'>
  /** Circuit breaker of a destination: 0 closed, 1 half-open, 2 open. */
  readonly breaker: Gauge<'source' | 'destination'>
  /** Messages committed and not confirmed; counted to 100000 at most. */
  readonly backlog: Gauge<'source' | 'destination'>
  /** Age of the oldest message that is not confirmed and not dead; 0 if there is none. */
  readonly oldestAge: Gauge<'source' | 'destination'>
  /** Dead letters that wait for an operator. */
  readonly dead: Gauge<'source' | 'destination'>
  /** For how long a partition of the log past its retention could not be dropped, because a session has it open. */
  readonly partitionOverdue: Gauge<'source'>
  /** 1 while this relay owns the shard. */
  readonly leaseHeld: Gauge<'source' | 'shard'>
  /** Times this relay found that it had been declared dead. */
  readonly leaseLost: Counter<'source'>
  /** Writes refused because another relay owns the row by now. */
  readonly fencedWrites: Counter<'source'>
  /** Shards published again from an earlier position, because the broker had lost what it had acknowledged. */
  readonly brokerRegressions: Counter<'source'>
  /** Times the sequence of the log had gone back, or messages had been committed with ids from it. */
  readonly sequenceSetbacks: Counter<'source'>
  /** 1 while committed transactions may be missing in the database, until an operator acknowledges it. */
  readonly historyDoubt: Gauge<'source'>
  /** Time since the source database was last read successfully. */
  readonly readAge: Gauge<'source'>
  /** 1 while the connection to NATS is up. */
  readonly natsConnected: Gauge
  /** 1 while a stream is missing that is configured or has acknowledged something; NaN: JetStream does not say. */
  readonly streamMissing: Gauge<'stream'>
  /** Times a stream was found missing that had been there; also where it was made again at once. */
  readonly streamsLost: Counter<'stream'>
  /** Since when nothing at all gets through to the broker; 0 while something does. */
  readonly brokerUnavailable: Gauge
  /** Subjects and streams that take no messages, by cause: full, sealed, missing, denied, foreign, silent. */
  readonly refusedSubjects: Gauge<'cause'>
  /** Calls of branches, by outcome: done, failure, ongoing, retry, unavailable. Addresses count as `url`. */
  readonly branchCalls: Counter<'source' | 'destination' | 'outcome'>
  /** Back-queries about prepared messages, by verdict: committed, aborted, in_progress, unknown, unreachable. */
  readonly backQueries: Counter<'source' | 'destination' | 'verdict'>
  /** Global transactions that this relay brought to their end, by status. */
  readonly transactionsEnded: Counter<'source' | 'mode' | 'status'>
  /** From taking a global transaction in to its end, by the clock of the database. */
  readonly transactionSeconds: Histogram<'source' | 'mode'>
  /** Global transactions that have not ended; counted to 100000 at most for each status. */
  readonly transactionsPending: Gauge<'source' | 'status'>
  /** Prepared messages that are past their check time and still undecided. */
  readonly transactionsInDoubt: Gauge<'source'>
  /** Age of the oldest global transaction that has not ended; 0 if there is none. */
  readonly transactionsOldestAge: Gauge<'source'>
  /** Entries of an outbox in Redis, by outcome: applied, repeated (applied before), parked. */
  readonly redisEntries: Counter<'source' | 'outbox' | 'outcome'>
  /** Entries in the stream of an outbox in Redis at the last look of the relay that applies them. */
  readonly redisWaiting: Gauge<'source' | 'outbox'>
  /** 1 while nothing is sold of an outbox because its Redis has lost data. */
  readonly redisStopped: Gauge<'source' | 'outbox'>
  /** Requests to the API, by the template of their route and the status of the answer. */
  readonly apiRequests: Counter<'route' | 'method' | 'status'>
  /** From the head of a request to the end of its answer; waiting for the end of a transaction included. */
  readonly apiSeconds: Histogram<'route'>
  /** Operations on transactions, by what was answered: done, pending, failed, refused, unknown. */
  readonly apiOperations: Counter<'do' | 'outcome'>
}

/** A fresh registry with every instrument; one a relay. */
export function createMetrics(): Metrics {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  return {
    registry,
    ...publishing(registry),
    ...delivering(registry),
    ...waiting(registry),
    ...coordinating(registry),
    ...trusting(registry),
    ...belonging(registry),
    ...selling(registry),
    ...answering(registry),
  }
}

/** What happens to messages of the log. */
function publishing(registry: Registry) {
  const registers = [registry]
  return {
    published: new Counter({
      name: 'postcommit_published_total',
      help: 'Messages acknowledged by the broker straight from the log.',
      labelNames: ['source'] as const,
      registers,
    }),
    parked: new Counter({
      name: 'postcommit_parked_total',
      help: 'Messages set aside from the log because their subject or an earlier message of their key failed.',
      labelNames: ['source'] as const,
      registers,
    }),
    duplicates: new Counter({
      name: 'postcommit_duplicates_total',
      help: 'Publishes that JetStream answered as duplicates of an earlier one.',
      labelNames: ['source'] as const,
      registers,
    }),
  }
}

/** What happens to messages on their way to destinations. */
function delivering(registry: Registry) {
  const registers = [registry]
  return {
    attempts: new Counter({
      name: 'postcommit_attempts_total',
      help: 'Deliveries attempted, by outcome: confirmed, failed, refused, unavailable, withheld.',
      labelNames: ['source', 'destination', 'outcome'] as const,
      registers,
    }),
    commitToConfirm: new LatencyHistogram({
      name: 'postcommit_commit_to_confirm_seconds',
      help: 'From the insert in the business transaction to the confirmation, by the clock of the database.',
      labelNames: ['source', 'destination'] as const,
      buckets: [0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 600, 3600],
      registers,
    }),
    breaker: new Gauge({
      name: 'postcommit_breaker_state',
      help: 'Circuit breaker of a destination: 0 closed, 1 half-open, 2 open.',
      labelNames: ['destination'] as const,
      registers,
    }),
  }
}

/** What waits; brought up to date for a scrape. */
function waiting(registry: Registry) {
  const registers = [registry]
  return {
    backlog: new Gauge({
      name: 'postcommit_backlog',
      help: 'Messages committed and not confirmed; counted to 100000 at most.',
      labelNames: ['source', 'destination'] as const,
      registers,
    }),
    oldestAge: new Gauge({
      name: 'postcommit_oldest_age_seconds',
      help: 'Age of the oldest message that is not confirmed and not dead; 0 if there is none.',
      labelNames: ['source', 'destination'] as const,
      registers,
    }),
    dead: new Gauge({
      name: 'postcommit_dead',
      help: 'Dead letters that wait for an operator.',
      labelNames: ['source', 'destination'] as const,
      registers,
    }),
    partitionOverdue: new Gauge({
      name: 'postcommit_partition_overdue_seconds',
      help: 'For how long a partition of the log past its retention could not be dropped, because a session has it open.',
      labelNames: ['source'] as const,
      registers,
    }),
  }
}

/** What happens to global transactions, and what of them waits. */
function coordinating(registry: Registry) {
  const registers = [registry]
  return {
    branchCalls: new Counter({
      name: 'postcommit_branch_calls_total',
      help: 'Calls of branches, by outcome: done, failure, ongoing, retry, unavailable. Addresses count as `url`.',
      labelNames: ['source', 'destination', 'outcome'] as const,
      registers,
    }),
    backQueries: new Counter({
      name: 'postcommit_back_queries_total',
      help: 'Back-queries about prepared messages, by verdict: committed, aborted, in_progress, unknown, unreachable.',
      labelNames: ['source', 'destination', 'verdict'] as const,
      registers,
    }),
    transactionsEnded: new Counter({
      name: 'postcommit_transactions_ended_total',
      help: 'Global transactions that this relay brought to their end, by status.',
      labelNames: ['source', 'mode', 'status'] as const,
      registers,
    }),
    transactionSeconds: new Histogram({
      name: 'postcommit_transaction_seconds',
      help: 'From taking a global transaction in to its end, by the clock of the database.',
      labelNames: ['source', 'mode'] as const,
      buckets: [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 600, 3600],
      registers,
    }),
    transactionsPending: new Gauge({
      name: 'postcommit_transactions_pending',
      help: 'Global transactions that have not ended; counted to 100000 at most for each status.',
      labelNames: ['source', 'status'] as const,
      registers,
    }),
    transactionsInDoubt: new Gauge({
      name: 'postcommit_transactions_in_doubt',
      help: 'Prepared messages that are past their check time and still undecided.',
      labelNames: ['source'] as const,
      registers,
    }),
    transactionsOldestAge: new Gauge({
      name: 'postcommit_transactions_oldest_age_seconds',
      help: 'Age of the oldest global transaction that has not ended; 0 if there is none.',
      labelNames: ['source'] as const,
      registers,
    }),
  }
}

/** Whether a database is what its positions were saved in. */
function trusting(registry: Registry) {
  const registers = [registry]
  return {
    sequenceSetbacks: new Counter({
      name: 'postcommit_sequence_setbacks_total',
      help: 'Times the sequence of the log had gone back, or messages had been committed with ids from it.',
      labelNames: ['source'] as const,
      registers,
    }),
    historyDoubt: new Gauge({
      name: 'postcommit_history_doubt',
      help: '1 while committed transactions may be missing in the database, until an operator acknowledges it.',
      labelNames: ['source'] as const,
      registers,
    }),
  }
}

/** How this relay stands among the others, and to its servers. */
function belonging(registry: Registry) {
  const registers = [registry]
  return {
    leaseHeld: new Gauge({
      name: 'postcommit_lease_held',
      help: '1 while this relay owns the shard.',
      labelNames: ['source', 'shard'] as const,
      registers,
    }),
    leaseLost: new Counter({
      name: 'postcommit_lease_lost_total',
      help: 'Times this relay found that it had been declared dead.',
      labelNames: ['source'] as const,
      registers,
    }),
    fencedWrites: new Counter({
      name: 'postcommit_fenced_writes_total',
      help: 'Writes refused because another relay owns the row by now.',
      labelNames: ['source'] as const,
      registers,
    }),
    brokerRegressions: new Counter({
      name: 'postcommit_broker_regressions_total',
      help: 'Shards published again from an earlier position, because the broker had lost what it had acknowledged.',
      labelNames: ['source'] as const,
      registers,
    }),
    readAge: new Gauge({
      name: 'postcommit_read_age_seconds',
      help: 'Time since the source database was last read successfully.',
      labelNames: ['source'] as const,
      registers,
    }),
    natsConnected: new Gauge({
      name: 'postcommit_nats_connected',
      help: '1 while the connection to NATS is up.',
      registers,
    }),
    streamMissing: new Gauge({
      name: 'postcommit_stream_missing',
      help: '1 while a stream is missing that is configured or has acknowledged something; NaN: JetStream does not say.',
      labelNames: ['stream'] as const,
      registers,
    }),
    streamsLost: new Counter({
      name: 'postcommit_streams_lost_total',
      help: 'Times a stream was found missing that had been there; also where it was made again at once.',
      labelNames: ['stream'] as const,
      registers,
    }),
    brokerUnavailable: new Gauge({
      name: 'postcommit_broker_unavailable_seconds',
      help: 'Since when nothing at all gets through to the broker; 0 while something does.',
      registers,
    }),
    refusedSubjects: new Gauge({
      name: 'postcommit_refused_subjects',
      help: 'Subjects and streams that take no messages, by cause: full, sealed, missing, denied, foreign, silent.',
      labelNames: ['cause'] as const,
      registers,
    }),
  }
}

/** What was done in Redis and follows here. */
function selling(registry: Registry) {
  const registers = [registry]
  return {
    redisEntries: new Counter({
      name: 'postcommit_redis_entries_total',
      help: 'Entries of an outbox in Redis, by outcome: applied, repeated (applied before), parked.',
      labelNames: ['source', 'outbox', 'outcome'] as const,
      registers,
    }),
    redisWaiting: new Gauge({
      name: 'postcommit_redis_waiting',
      help: 'Entries in the stream of an outbox in Redis at the last look of the relay that applies them.',
      labelNames: ['source', 'outbox'] as const,
      registers,
    }),
    redisStopped: new Gauge({
      name: 'postcommit_redis_stopped',
      help: '1 while nothing is sold of an outbox because its Redis has lost data.',
      labelNames: ['source', 'outbox'] as const,
      registers,
    }),
  }
}

/** What the API is asked. A route is a template, never an address. */
function answering(registry: Registry) {
  const registers = [registry]
  return {
    apiRequests: new Counter({
      name: 'postcommit_api_requests_total',
      help: 'Requests to the API, by the template of their route and the status of the answer.',
      labelNames: ['route', 'method', 'status'] as const,
      registers,
    }),
    apiSeconds: new Histogram({
      name: 'postcommit_api_request_seconds',
      help: 'From the head of a request to the end of its answer; waiting for the end of a transaction included.',
      labelNames: ['route'] as const,
      buckets: [0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60],
      registers,
    }),
    apiOperations: new Counter({
      name: 'postcommit_api_operations_total',
      help: 'Operations on transactions, by what was answered: done, pending, failed, refused, unknown.',
      labelNames: ['do', 'outcome'] as const,
      registers,
    }),
  }
}
