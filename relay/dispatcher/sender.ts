import { setMaxListeners } from 'node:events'
import type { Logger } from 'pino'
import type { Destination } from '../destinations/destination.ts'
import { type Settlement, settle } from '../engine/settle.ts'
import type { Metrics } from '../observe/metrics.ts'
import type { ClaimedDelivery, FreeSlots } from '../store/claim-due.ts'
import { Lane } from './lane.ts'
import type { Result } from './recorder.ts'

/** What deliveries are sent with. */
export interface SenderOptions {
  readonly source: string
  readonly destinations: ReadonlyMap<string, Destination>
  readonly metrics: Metrics
  readonly log: Logger
  /** Called with every result, but not after `abort`: what was cut off is nobody's failure. */
  readonly onResult: (result: Result) => void
}

/** Sends claimed deliveries to their destinations and decides what becomes of them. */
export class Sender {
  readonly #options: SenderOptions
  readonly #lanes: ReadonlyMap<string, Lane>
  readonly #aborter = new AbortController()
  #sending = 0

  constructor(options: SenderOptions) {
    this.#options = options
    this.#lanes = new Map(
      [...options.destinations].map(([name, destination]) => [name, new Lane(destination, options)]),
    )
    // One listener for every call under way.
    setMaxListeners(0, this.#aborter.signal)
  }

  /** How many deliveries are under way. */
  get sending(): number {
    return this.#sending
  }

  /** What may be sent now, without destinations that are busy or away. */
  freeSlots(): readonly FreeSlots[] {
    const now = performance.now()
    return [...this.#lanes].flatMap(([destination, lane]) => {
      const free = lane.free(now)
      return free > 0 ? [{ destination, free }] : []
    })
  }

  /** When the first open breaker lets a call through again: milliseconds from now. */
  reopensInMs(): number {
    const now = performance.now()
    return Math.min(...[...this.#lanes.values()].map((lane) => lane.reopensInMs(now)))
  }

  /** Makes one attempt, and tells `onResult` what is to be written. */
  async send(row: ClaimedDelivery, token: string): Promise<void> {
    const lane = this.#lanes.get(row.destination)
    if (lane === undefined || this.#aborter.signal.aborted) return
    const { source, metrics, onResult } = this.#options
    const { id, destination, key } = row
    const startedAt = performance.now()
    this.#sending += 1
    const outcome = await lane.deliver(row, this.#aborter.signal)
    this.#sending -= 1
    if (this.#aborter.signal.aborted) return
    metrics.attempts.inc({ source, destination, outcome: outcome.kind })
    const settlement = settle(outcome, row.attempts, lane.policy, Math.random())
    this.#report(row, settlement)
    onResult({ id, destination, key, token, settlement, durationMs: performance.now() - startedAt })
  }

  /** Cuts off what is under way. */
  abort(): void {
    this.#aborter.abort()
  }

  #report({ gid, branch, destination }: ClaimedDelivery, settlement: Settlement): void {
    const { source, log } = this.#options
    const entry = { source, gid, branch, destination, ...settlement }
    switch (settlement.event) {
      case 'confirmed':
        break
      case 'dead':
        log.warn(entry, 'dead letter')
        break
      case 'failed':
        log.info(entry, 'delivery failed')
        break
      case 'unavailable':
        log.debug(entry, 'destination not available')
    }
  }
}
