import type pg from 'pg'
import { pino } from 'pino'
import { type Asker, askDestination } from '../../../relay/coordinator/back-query/asker.ts'
import { BackQueryLoop } from '../../../relay/coordinator/back-query/back-query.ts'
import type { DecidedMessage } from '../../../relay/coordinator/intake/hand-over.ts'
import { Coordinator } from '../../../relay/coordinator/run/coordinator.ts'
import type { Destination } from '../../../relay/destinations/destination.ts'
import { Gates } from '../../../relay/destinations/gates.ts'
import { type Dispatcher, startDispatcher } from '../../../relay/dispatcher/dispatcher.ts'
import { createMetrics } from '../../../relay/observe/metrics.ts'
import { type Line, type SimulatedDatabase, simulatedPool, type Turnstile } from './simulated-pool.ts'
import type { VirtualTime } from './virtual-time.ts'

/** Where a relay of the simulation works. */
export interface Surroundings {
  readonly database: SimulatedDatabase
  readonly turnstile: Turnstile
  readonly time: VirtualTime
  /** What this process of a relay calls; each process has connections of its own. */
  readonly destinations: (line: Line) => readonly Destination[]
  /** Which loops it runs. */
  readonly delivers: boolean
}

export const CLAIM_MS = 10_000
const POLL_MS = { min: 20, max: 4000 }
const log = pino({ level: 'silent' })
const metrics = createMetrics()

/** A process of a relay: the loops that ship, wired as `serveTransactions` and `serveSource` wire them. */
interface Process {
  readonly line: Line
  readonly coordinator: Coordinator
  readonly backQuery: BackQueryLoop
  readonly dispatcher: Dispatcher | undefined
}

/**
 * A relay that runs what ships over ports that are not there: its database, its destinations, its clock. It can be
 * killed at any moment, stopped, cut off for a while, and have statements fail of which it never learns whether they
 * were carried out.
 */
export class SimulatedRelay {
  readonly #id: string
  readonly #surroundings: Surroundings
  #process: Process

  constructor(id: string, surroundings: Surroundings) {
    this.#id = id
    this.#surroundings = surroundings
    this.#process = this.#start()
  }

  get line(): Line {
    return this.#process.line
  }

  /** Looks for work now, as a NOTIFY would have it. */
  wake(): void {
    this.#process.coordinator.wake()
    this.#process.backQuery.wake()
    this.#process.dispatcher?.wake()
  }

  /** Hands a message over, as a submission has it. What goes wrong is found out by asking. */
  handOver(message: DecidedMessage): void {
    this.#process.coordinator.handOver(message).catch(() => undefined)
  }

  /** What it knew is gone; what it sent is on its way. Another process takes its place at once. */
  crash(): void {
    cut(this.#process.line)
    this.#process = this.#start()
  }

  /** Stops as it does before an upgrade; the next process starts meanwhile. */
  restart(): void {
    const { coordinator, backQuery, dispatcher } = this.#process
    const how = { drainMs: 500 }
    void Promise.all([backQuery.stop(how), coordinator.stop(how), dispatcher?.stop(how)])
    this.#process = this.#start()
  }

  #start(): Process {
    const { database, turnstile, time, destinations, delivers } = this.#surroundings
    const line: Line = { isCut: false, stalledUntilMs: 0, failures: 0, onCut: [] }
    const pool: pg.Pool = simulatedPool(database, turnstile, line, time)
    const all = new Map(destinations(line).map((destination) => [destination.name, destination]))
    const gates = new Gates({ destinations: all, metrics, log })
    const common = {
      source: 'main',
      pool,
      relayId: () => this.#id,
      gates,
      metrics,
      log,
      claimLeaseMs: CLAIM_MS,
      pollMs: POLL_MS,
    }
    const dispatcher = delivers ? startDispatcher({ ...common, onReadOk: () => undefined }) : undefined
    const coordinator = new Coordinator({ ...common, onHandedOver: () => dispatcher?.wake() })
    const backQuery = new BackQueryLoop({
      ...common,
      handOver: (message) => coordinator.handOver(message),
      asker: (name) => askerAt(gates, name),
      onCommitted: (row, token, heldMs) => coordinator.take(row, token, heldMs),
      onDeadline: (row, token) => coordinator.take(row, token),
      onDecided({ tenant, gid, key }, status, rollbackReason) {
        coordinator.decided({ tenant, gid }, { status, key, rollbackReason })
      },
    })
    return { line, coordinator, backQuery, dispatcher }
  }
}

function cut(line: Line): void {
  line.isCut = true
  // Its sessions end, and what they had not committed is rolled back.
  for (const abort of line.onCut) abort()
}

function askerAt(gates: Gates, name: string): Asker | undefined {
  const gated = gates.at(name)
  return gated && { gate: gated.gate, ask: askDestination(gated.destination, '') }
}
