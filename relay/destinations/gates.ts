import type { Logger } from 'pino'
import type { BreakerState } from '../engine/breaker.ts'
import type { Destination } from './destination.ts'
import { Gate } from './gate.ts'

/** What a relay can call. */
export interface GatesOptions {
  readonly destinations: ReadonlyMap<string, Destination>
  /** What calls addresses, each origin behind a gate of its own; undefined: no address is called. */
  readonly urls?: Destination | undefined
  /** Where the state of each breaker is shown. */
  readonly metrics: { readonly breaker: { set(labels: { destination: string }, value: number): void } }
  readonly log: Logger
}

/** A destination, and the one way to it. */
export interface Gated {
  readonly destination: Destination
  readonly gate: Gate
}

const GAUGE: Record<BreakerState, number> = { closed: 0, 'half-open': 1, open: 2 }
const ORIGINS_MAX = 500

/** The gates of a relay, one a destination, shared by all of its databases. */
export class Gates {
  readonly #options: GatesOptions
  readonly #named: ReadonlyMap<string, Gated>
  readonly #origins = new Map<string, Gated>()

  constructor(options: GatesOptions) {
    this.#options = options
    this.#named = new Map([...options.destinations].map(([name, destination]) => [name, this.#open(name, destination)]))
  }

  /** The configured destinations, by name. */
  get named(): ReadonlyMap<string, Gated> {
    return this.#named
  }

  /** Who is called under a name, or at an origin; undefined: this relay does not know it. */
  at(name: string): Gated | undefined {
    return this.#named.get(name) ?? this.#origins.get(name) ?? this.#originOf(name)
  }

  #originOf(name: string): Gated | undefined {
    const { urls } = this.#options
    if (urls === undefined || !name.includes('://')) return undefined
    // Origins come with what is handed in: the oldest that is idle goes, and with it only what its breaker knew.
    if (this.#origins.size >= ORIGINS_MAX) {
      const idle = [...this.#origins].find(([, { gate }]) => gate.isIdle)
      if (idle !== undefined) this.#origins.delete(idle[0])
    }
    const gated = this.#open(name, urls)
    this.#origins.set(name, gated)
    return gated
  }

  #open(name: string, destination: Destination): Gated {
    const onState = (state: BreakerState, before: BreakerState | undefined) => this.#show(name, state, before)
    return { destination, gate: new Gate({ concurrency: destination.concurrency, onState }) }
  }

  #show(name: string, state: BreakerState, before: BreakerState | undefined): void {
    const { metrics, log } = this.#options
    const isOrigin = name.includes('://')
    // All origins share one series: a new one must not say that the others are back.
    if (!isOrigin || before !== undefined) metrics.breaker.set({ destination: isOrigin ? 'url' : name }, GAUGE[state])
    if (state === 'open') log.warn({ destination: name }, 'a destination is away; it is called again later')
    if (state === 'closed' && before !== undefined) log.info({ destination: name }, 'a destination is back')
  }
}
