import pg from 'pg'
import { type Logger, pino } from 'pino'
import { afterEach, beforeEach, expect } from 'vitest'
import type { Destination } from '../../relay/destinations/destination.ts'
import { Gates, type GatesOptions } from '../../relay/destinations/gates.ts'
import { createHttpDestination, type HttpDestinationOptions } from '../../relay/destinations/http.ts'
import { type Dispatcher, type DispatcherOptions, startDispatcher } from '../../relay/dispatcher/dispatcher.ts'
import { createMetrics, type Metrics } from '../../relay/observe/metrics.ts'
import { database, type TestDatabase } from './database.ts'
import {
  type DeliveryRow,
  deliveryStates,
  dispatcherSessions,
  insertDeliveries,
  insertTestRelay,
} from './deliveries.ts'
import { eventually } from './eventually.ts'
import { type Answer, type HttpService, httpService } from './http-service.ts'

/** A dispatcher on its own, without the relay around it. */
export interface TestDispatcher extends Dispatcher {
  /** The id under which it claims. Set to undefined, it takes itself for buried. */
  relay: string | undefined
  readonly pool: pg.Pool
  readonly metrics: Metrics
  /** Everything it has logged, one JSON document each. */
  readonly logged: string[]
  /** What a counter says, all labels that are not named taken together. */
  count(metric: 'attempts' | 'fencedWrites' | 'commitToConfirm', labels?: Record<string, string>): Promise<number>
  /** Stops it and closes its pool; a second time does nothing. */
  end(drainMs?: number): Promise<void>
}

/** Starts a dispatcher of the database at `url`. */
export async function testDispatcher(
  url: string,
  destinations: readonly Destination[],
  options: Partial<DispatcherOptions> = {},
): Promise<TestDispatcher> {
  const pool = new pg.Pool({ ...dispatcherSessions(url), application_name: 'test dispatcher' })
  pool.on('error', () => undefined)
  const metrics = createMetrics()
  const logged: string[] = []
  const log: Logger = pino({ level: 'debug' }, { write: (line) => logged.push(line) })
  let relay: string | undefined = await insertTestRelay(pool)
  const dispatcher = startDispatcher({
    source: 'main',
    pool,
    relayId: () => relay,
    gates: testGates(destinations, { metrics, log }),
    metrics,
    log,
    claimLeaseMs: 60_000,
    pollMs: { min: 2, max: 250 },
    onReadOk: () => undefined,
    ...options,
  })
  let ended: Promise<void> | undefined
  const end = async (drainMs: number): Promise<void> => {
    await dispatcher.stop({ drainMs })
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
    wake: () => dispatcher.wake(),
    stop: (how) => dispatcher.stop(how),
    async count(metric, labels = {}) {
      const { values } = await metrics[metric].get()
      return values
        .filter((value) => !('metricName' in value) || String(value.metricName).endsWith('_count'))
        .filter((value) => Object.entries(labels).every(([name, is]) => Reflect.get(value.labels, name) === is))
        .reduce((sum, { value }) => sum + value, 0)
    },
    end: (drainMs = 1000) => {
      ended ??= end(drainMs)
      return ended
    },
  }
}

/** The gates of these destinations. */
export function testGates(
  destinations: readonly Destination[],
  {
    urls,
    metrics = createMetrics(),
    log = pino({ level: 'silent' }),
  }: Partial<Omit<GatesOptions, 'destinations'>> = {},
): Gates {
  return new Gates({ destinations: new Map(destinations.map((one) => [one.name, one])), urls, metrics, log })
}

/** An HTTP destination that tries again soon. */
export function impatient(name: string, url: string, options: Partial<HttpDestinationOptions> = {}): Destination {
  return createHttpDestination(name, { url, timeoutMs: 2000, backOff: { baseMs: 10, capMs: 50 }, ...options })
}

/** What tests of dispatchers have: a database and services of their own, and everything they start is ended. */
export function useDispatchers() {
  let db: TestDatabase
  const services: HttpService[] = []
  const dispatchers: TestDispatcher[] = []
  beforeEach(async () => {
    db = await database()
  })
  afterEach(async () => {
    await Promise.all(dispatchers.splice(0).map((dispatcher) => dispatcher.end(0)))
    await Promise.all(services.splice(0).map((service) => service.kill()))
    await db.drop()
  })
  const columns = async (list: string) =>
    (await db.pool.query<Record<string, unknown>>(`select ${list} from postcommit.delivery order by id`)).rows
  const allConfirmed = (timeoutMs = 15_000) =>
    eventually(async () => expect(new Set(await deliveryStates(db.pool))).toEqual(new Set(['confirmed'])), {
      timeoutMs,
    })
  return {
    get pool() {
      return db.pool
    },
    async service(answer?: Answer): Promise<HttpService> {
      const started = await httpService(answer)
      services.push(started)
      return started
    },
    async dispatch(destinations: readonly Destination[], options?: Partial<DispatcherOptions>) {
      const started = await testDispatcher(db.url, destinations, options)
      dispatchers.push(started)
      return started
    },
    insert: (...rows: DeliveryRow[]) => insertDeliveries(db.pool, rows),
    states: () => deliveryStates(db.pool),
    allConfirmed,
    columns,
  }
}

/** So many rows, numbered from 0. */
export const many = (n: number, row: (n: number) => DeliveryRow) => Array.from({ length: n }, (_, index) => row(index))
export const numbered = (n: number, row: DeliveryRow = {}) => ({ payload: String(n), dueInMs: -1, ...row })
