import type pg from 'pg'
import type { Logger } from 'pino'
import { type OperationAnswer, PostcommitError, type TransactionOperation } from 'postcommit/protocol'
import type { Broker } from '../broker/broker.ts'
import type { Gates } from '../destinations/gates.ts'
import type { Metrics } from '../observe/metrics.ts'
import { countTransactions } from '../store/transaction/count-transactions.ts'
import { Askers } from './back-query/askers.ts'
import { BackQueryLoop } from './back-query/back-query.ts'
import type { DecidedMessage } from './intake/hand-over.ts'
import { Intake } from './intake/intake.ts'
import { Operations } from './intake/operations.ts'
import type { TargetRules } from './intake/target-rules.ts'
import type { AlertsOptions } from './run/alerts.ts'
import { Coordinator } from './run/coordinator.ts'

/** How global transactions are served. */
export interface TransactionsOptions {
  /** Databases that are asked themselves what became of a prepared message, by the name that it gives as its back-query. */
  readonly checks: ReadonlyMap<string, pg.Pool>
  readonly alerts?: AlertsOptions | undefined
  /** Which targets are taken in. */
  readonly targets: TargetRules
  /** How long after its prepare a message is asked about, unless it says when, milliseconds. */
  readonly checkAfterMs: number
  /** How long an initiator may take, unless it says how long, milliseconds. */
  readonly deadlineMs: number
}

/** The global transactions in one database. */
export interface Transactions {
  /**
   * Carries out one operation of a tenant; what is not possible is an answer.
   * @throws if the database cannot be asked; it may have been recorded, and can be sent again.
   */
  perform(operation: TransactionOperation, tenant?: string): Promise<OperationAnswer>
}

/** The transactions of a relay with what its other interfaces are built on. */
export interface ServedTransactions extends Transactions {
  readonly parts: { readonly client: pg.Pool; readonly intake: Intake; readonly coordinator: Coordinator }
  readonly held: number
  wake(): void
  refreshMetrics(): Promise<void>
  stop(options: { readonly drainMs: number }): Promise<void>
}

/** What the loops need beside. */
interface Surroundings {
  readonly source: string
  /** Its sessions need DISPATCHER_OPTIONS. */
  readonly pool: pg.Pool
  readonly relayId: () => string | undefined
  readonly broker: () => Broker | undefined
  readonly gates: Gates
  readonly metrics: Metrics
  readonly log: Logger
  /** Messages are in outbox and delivery: publisher and dispatcher look now. */
  readonly onHandedOver: () => void
  readonly claimLeaseMs: number
  readonly pollMs: { readonly min: number; readonly max: number }
}

/** Serves the global transactions of a database: takes them in, carries them out, asks about the undecided. */
export function serveTransactions(options: TransactionsOptions & Surroundings): ServedTransactions {
  const { source, pool, metrics, targets, checkAfterMs, deadlineMs } = options
  const coordinator = new Coordinator(options)
  const handOver = (message: DecidedMessage) => coordinator.handOver(message)
  const intake = new Intake(pool, { refusal: tooMany, handOver })
  const operations = new Operations({
    client: pool,
    intake,
    coordinator,
    targets,
    defaults: { checkAfterMs, deadlineMs },
  })
  const askers = new Askers(options)
  const backQuery = new BackQueryLoop({
    ...options,
    handOver,
    asker: (name) => askers.at(name),
    onCommitted: (row, token, heldMs) => coordinator.take(row, token, heldMs),
    onDeadline: (row, token) => coordinator.take(row, token),
    onDecided({ tenant, gid, key }, status, rollbackReason) {
      coordinator.decided({ tenant, gid }, { status, key, rollbackReason })
    },
  })
  return {
    parts: { client: pool, intake, coordinator },
    perform: (operation, tenant = '') => operations.perform(tenant, operation),
    get held() {
      return coordinator.held
    },
    wake() {
      coordinator.wake()
      backQuery.wake()
    },
    async refreshMetrics() {
      const { inDoubt, oldestAgeSeconds, ...statuses } = await countTransactions(pool)
      for (const [status, count] of Object.entries(statuses)) metrics.transactionsPending.set({ source, status }, count)
      metrics.transactionsInDoubt.set({ source }, inDoubt)
      metrics.transactionsOldestAge.set({ source }, oldestAgeSeconds)
    },
    async stop(how) {
      await Promise.all([backQuery.stop(how), coordinator.stop(how)])
    },
  }
}

function tooMany(): PostcommitError<'POSTCOMMIT_RELAY_UNAVAILABLE'> {
  return new PostcommitError('POSTCOMMIT_RELAY_UNAVAILABLE', { reason: 'too many requests wait for its database' })
}
