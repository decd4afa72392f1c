import pg from 'pg'
import { type Logger, pino } from 'pino'
import { type Gid, parseGid, type TransactionDefinition, type TransactionOperation } from 'postcommit/protocol'
import { Intake } from '../../relay/coordinator/intake/intake.ts'
import { Operations } from '../../relay/coordinator/intake/operations.ts'
import { TargetRules } from '../../relay/coordinator/intake/target-rules.ts'
import { Coordinator, type CoordinatorOptions } from '../../relay/coordinator/run/coordinator.ts'
import type { Destination } from '../../relay/destinations/destination.ts'
import { createMetrics, type Metrics } from '../../relay/observe/metrics.ts'
import { dispatcherSessions, insertTestRelay } from './deliveries.ts'
import { testGates } from './dispatchers.ts'

/** A coordinator on its own, without the relay around it. */
export interface TestCoordinator {
  /** The id under which it claims. Set to undefined, it takes itself for buried. */
  relay: string | undefined
  readonly pool: pg.Pool
  readonly metrics: Metrics
  readonly logged: string[]
  readonly coordinator: Coordinator
  perform(operation: TransactionOperation): ReturnType<Operations['perform']>
  end(drainMs?: number): Promise<void>
}

/** What a relay without `urls` takes in. */
export const NO_ADDRESSES = new TargetRules({ addresses: undefined, checkSubjects: [] })
/** An API that shows no messages. */
export const NO_SOURCES = { sources: [], broker: () => ({ configured: false, connected: false, problem: undefined }) }
/** What is not allowed is seen when it is called. */
const ANY_ADDRESS = new TargetRules({ addresses: { problemOf: () => undefined }, checkSubjects: ['>'] })

/** Starts a coordinator of the database at `url`. */
export async function testCoordinator(
  url: string,
  destinations: readonly Destination[],
  options: Partial<CoordinatorOptions> = {},
): Promise<TestCoordinator> {
  const pool = new pg.Pool({ ...dispatcherSessions(url), application_name: 'test coordinator' })
  pool.on('error', () => undefined)
  const metrics = createMetrics()
  const logged: string[] = []
  const log: Logger = pino({ level: 'debug' }, { write: (line) => logged.push(line) })
  let relay: string | undefined = await insertTestRelay(pool)
  const coordinator = new Coordinator({
    source: 'main',
    pool,
    relayId: () => relay,
    gates: testGates(destinations, { metrics, log }),
    metrics,
    log,
    claimLeaseMs: 60_000,
    pollMs: { min: 2, max: 100 },
    onHandedOver: () => undefined,
    ...options,
  })
  const intake = new Intake(pool, {
    refusal: () => new Error('too many'),
    handOver: (message) => coordinator.handOver(message),
  })
  const operations = new Operations({
    client: pool,
    intake,
    coordinator,
    targets: ANY_ADDRESS,
    defaults: { checkAfterMs: 60_000, deadlineMs: 35_000 },
  })
  let ended: Promise<void> | undefined
  const end = async (drainMs: number): Promise<void> => {
    await coordinator.stop({ drainMs })
    await Promise.all(destinations.map((destination) => destination.close()))
    await pool.end()
  }
  return {
    get relay() {
      return relay
    },
    set relay(id) {
      relay = id
    },
    pool,
    metrics,
    logged,
    coordinator,
    perform: (operation) => operations.perform('', operation),
    end: (drainMs = 1000) => {
      ended ??= end(drainMs)
      return ended
    },
  }
}

/** A gid that is told apart from others at a glance. */
export function gidOf(name: string): Gid {
  return parseGid(`${name}-${Math.random().toString(36).slice(2, 10)}`)
}

/** A message for `/action` of the destination `stock`. */
export function messageTo(given: Partial<TransactionDefinition> = {}): TransactionDefinition {
  return {
    mode: 'msg',
    branches: [{ branch: '01', ops: { action: { destination: 'stock', path: '/action' } }, payload: '{"n":1}' }],
    backQuery: { target: { destination: 'orders', path: '/back-query' } },
    options: { retry: { baseMs: 10, capMs: 50 } },
    ...given,
  }
}

/** A saga whose steps are called at `/<name>` and undone at `/undo-<name>` of the destination `stock`. */
export function sagaOf(
  steps: readonly (string | { readonly name: string; readonly after?: readonly string[]; readonly undo?: false })[],
  options: TransactionDefinition['options'] = {},
): TransactionDefinition {
  return {
    mode: 'saga',
    branches: steps.map((step) => {
      const { name, after, undo } = typeof step === 'string' ? { name: step, after: undefined, undo: undefined } : step
      return {
        branch: name,
        ops: {
          action: { destination: 'stock', path: `/${name}` },
          ...(undo !== false && { compensate: { destination: 'stock', path: `/undo-${name}` } }),
        },
        payload: '{}',
        ...(after !== undefined && { after }),
        ...(undo === false && { leavesNothing: true }),
      }
    }),
    options: { retry: { baseMs: 10, capMs: 50 }, ...options },
  }
}
