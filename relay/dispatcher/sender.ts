import { setMaxListeners } from 'node:events'
import type { Logger } from 'pino'
import type { Gates } from '../destinations/gates.ts'
import type { Outcome } from '../engine/outcome.ts'
import { type Settlement, settle } from '../engine/settle.ts'
import type { Metrics } from '../observe/metrics.ts'
import type { ToldTrouble } from '../store/broker/replace-trouble.ts'
import type { ClaimedDelivery, FreeSlots } from '../store/delivery/claim-due.ts'
import { type Job, Lane } from './lane.ts'
import type { Result } from './recorder.ts'

/** What deliveries are sent with. */
export interface SenderOptions {
  readonly source: string
  readonly gates: Gates
  readonly metrics: Metrics
  readonly log: Logger
  /** Called with every result, but not after `abort`: a call that was cut off is not a failure of its destination. */
  readonly onResult: (result: Result) => void
}

/** Sends claimed deliveries to their destinations and decides what becomes of them. */
export class Sender {
  readonly #options: SenderOptions
  readonly #lanes: ReadonlyMap<string, Lane>
  readonly #aborter = new AbortController()

  constructor(options: SenderOptions) {
    this.#options = options
    const { signal } = this.#aborter
    const { source } = options
    const onOutcome = (job: Job, outcome: Outcome, durationMs: number) => this.#settle(job, outcome, durationMs)
    this.#lanes = new Map(
      [...options.gates.named].map(([name, gated]) => [name, new Lane(gated, signal, { source, onOutcome })]),
    )
    // A destination may listen once for every call under way.
    setMaxListeners(0, signal)
  }

  /** How many attempts are under way. */
  get sending(): number {
    let sum = 0
    for (const { running } of this.#lanes.values()) sum += running
    return sum
  }

  /** What may be claimed now, without destinations that are busy or away. */
  freeSlots(): readonly FreeSlots[] {
    const now = performance.now()
    return [...this.#lanes].flatMap(([destination, lane]) => {
      const free = lane.free(now)
      return free > 0 ? [{ destination, free, bytes: lane.bytesFree }] : []
    })
  }

  /** When the first open breaker lets a call through again: milliseconds from now. */
  reopensInMs(): number {
    const now = performance.now()
    return Math.min(...[...this.#lanes.values()].map((lane) => lane.reopensInMs(now)))
  }

  /** What is in the way of destinations. */
  trouble(): readonly ToldTrouble[] {
    const now = performance.now()
    return [...this.#lanes].flatMap(([destination, lane]) => {
      const trouble = lane.trouble(now)
      return trouble === undefined ? [] : [{ scope: `destination ${destination}`, cause: 'away', ...trouble }]
    })
  }

  /** Sends as soon as the destination has a slot; what becomes of it is told to `onResult` or by {@link takeUnsent}. */
  send(job: Job): void {
    this.#lanes.get(job.row.destination)?.push(job)
  }

  /** What will not be sent soon and is to be given back. */
  takeUnsent(): readonly Job[] {
    return [...this.#lanes.values()].flatMap((lane) => lane.takeUnsent())
  }

  /** Starts nothing more; what waits is given out by {@link takeUnsent}. */
  close(): void {
    for (const lane of this.#lanes.values()) lane.close()
  }

  /** Cuts off what is under way. */
  abort(): void {
    this.#aborter.abort()
  }

  #settle({ row, token }: Job, outcome: Outcome, durationMs: number): void {
    const { withheldBy } = row
    const { source, gates, metrics, onResult } = this.#options
    const { id, destination, key } = row
    const policy = gates.named.get(destination)?.destination
    // A call that was cut off is not a failure of its destination.
    if (policy === undefined || this.#aborter.signal.aborted) return
    metrics.attempts.inc({ source, destination, outcome: outcome.kind })
    const settlement = settle(outcome, row.attempts, policy, Math.random())
    this.#report(row, settlement)
    onResult({ id, destination, key, token, settlement, durationMs, ...(withheldBy !== null && { withheldBy }) })
  }

  #report({ gid, branch, destination }: ClaimedDelivery, settlement: Settlement): void {
    if (settlement.event === 'confirmed') return
    const { source, log } = this.#options
    const entry = { source, gid, branch, destination, ...settlement }
    switch (settlement.event) {
      case 'dead':
        log.warn(entry, 'dead letter')
        break
      case 'failed':
        log.info(entry, 'delivery failed')
        break
      case 'unavailable':
      case 'withheld':
        log.debug(entry, 'destination not available')
    }
  }
}
