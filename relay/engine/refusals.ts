import { takesSubject } from './subject-filter.ts'

/** A subject or a stream that takes nothing at the moment. */
export interface Refusal {
  /** `stream ORDERS`, or `subject order.placed`. */
  readonly scope: string
  /** One word for all of its kind: what log lines and metrics are counted by. */
  readonly cause: string
  readonly error: string
  /** When it began, and when it is probed next; monotonic milliseconds. */
  readonly sinceMs: number
  readonly nextProbeMs: number
}

/** What is known of a message before it is sent. */
export type Admission =
  | { readonly kind: 'send' }
  /** Its scope takes nothing, and it is this message that finds out whether that is still so. */
  | { readonly kind: 'probe'; readonly scope: string }
  | { readonly kind: 'withhold'; readonly scope: string; readonly error: string; readonly dueInMs: number }

/** A publish that was refused. */
export interface Refused {
  readonly scope: string
  readonly cause: string
  readonly error: string
  readonly subject: string
  /** Whether it was the probe of this scope. */
  readonly probe: boolean
}

const PROBE_FIRST_MS = 500
const PROBE_CAP_MS = 30_000
/** A probe that nothing was heard of makes room for the next one. */
const PROBE_LOST_MS = 15_000
/**
 * When a message is due again that is not the probe: far off, because it is released when its scope takes messages again.
 * Only a relay that ends in between leaves it to that time.
 */
const RELEASED_BEFORE_MS = 3_600_000
/** Scopes that are remembered; what is forgotten is found out again by one publish. */
const SCOPES_MAX = 1000

interface Scope {
  cause: string
  error: string
  readonly sinceMs: number
  pauseMs: number
  nextProbeMs: number
  probingUntilMs: number | undefined
  /** What a stream takes; unknown until it has been asked for. */
  filters: readonly string[]
}

/** The scope of one subject. */
export const subjectScope = (subject: string): string => `subject ${subject}`
/** The scope of all that a stream takes. */
export const streamScope = (stream: string): string => `stream ${stream}`

/**
 * Remembers which subjects and streams take nothing, so that each is probed by one message at a time with growing pauses
 * while everything else of it waits. Time is handed in as monotonic milliseconds, chance as a number in [0, 1).
 */
export class Refusals {
  readonly #scopes = new Map<string, Scope>()
  /** Scopes of streams, which have to be looked through for a subject. */
  readonly #streams = new Set<string>()

  get size(): number {
    return this.#scopes.size
  }

  /** Whether a message to `subject` may be sent now. Who is told to probe must say what came of it. */
  admit(subject: string, nowMs: number, random: number): Admission {
    const scope = this.#scopes.size === 0 ? undefined : this.#find(subject)
    const state = scope === undefined ? undefined : this.#scopes.get(scope)
    if (scope === undefined || state === undefined) return { kind: 'send' }
    const isProbed = state.probingUntilMs !== undefined && nowMs < state.probingUntilMs
    if (!isProbed && nowMs >= state.nextProbeMs) {
      state.probingUntilMs = nowMs + PROBE_LOST_MS
      return { kind: 'probe', scope }
    }
    return { kind: 'withhold', scope, error: state.error, dueInMs: farOff(random) }
  }

  /** Learns that a publish was refused; says in how many milliseconds that message is to be tried again. */
  refuse({ scope, cause, error, probe }: Refused, nowMs: number, random: number): number {
    const known = this.#scopes.get(scope)
    if (known === undefined) {
      this.#forgetOldest()
      const nextProbeMs = nowMs + spread(PROBE_FIRST_MS, random)
      const state = { cause, error, sinceMs: nowMs, pauseMs: PROBE_FIRST_MS, nextProbeMs, filters: [] }
      this.#scopes.set(scope, { ...state, probingUntilMs: undefined })
      if (scope.startsWith('stream ')) this.#streams.add(scope)
      return nextProbeMs - nowMs
    }
    // Sent before it was known: of a thousand in flight one comes back as the probe, not all of them.
    if (!probe) return farOff(random)
    known.cause = cause
    known.error = error
    known.pauseMs = Math.min(PROBE_CAP_MS, 2 * known.pauseMs)
    known.nextProbeMs = nowMs + spread(known.pauseMs, random)
    known.probingUntilMs = undefined
    return known.nextProbeMs - nowMs
  }

  /** What a stream takes, so that all of it is held back without a try of each subject. */
  learn(scope: string, filters: readonly string[]): void {
    const state = this.#scopes.get(scope)
    if (state !== undefined) state.filters = filters
  }

  /** A probe that could not be made, or about which nothing was learned. */
  unprobed(scope: string): void {
    const state = this.#scopes.get(scope)
    if (state !== undefined) state.probingUntilMs = undefined
  }

  /** Learns that `stream` has taken a message to `subject`; says which scopes are over by that. */
  acked(subject: string, stream: string): readonly string[] {
    if (this.#scopes.size === 0) return []
    return [subjectScope(subject), streamScope(stream)].filter((scope) => this.forget(scope))
  }

  /** Ends a scope; false if it was not there. */
  forget(scope: string): boolean {
    this.#streams.delete(scope)
    return this.#scopes.delete(scope)
  }

  /** Whether a scope is known to take nothing and not in need of another message to probe it with. */
  isLookedAfter(scope: string, nowMs: number, graceMs: number): boolean {
    const state = this.#scopes.get(scope)
    if (state === undefined) return false
    return (state.probingUntilMs ?? 0) > nowMs || nowMs < state.nextProbeMs + graceMs
  }

  list(): readonly Refusal[] {
    return [...this.#scopes].map(([scope, { cause, error, sinceMs, nextProbeMs }]) => ({
      scope,
      cause,
      error,
      sinceMs,
      nextProbeMs,
    }))
  }

  #find(subject: string): string | undefined {
    const own = subjectScope(subject)
    if (this.#scopes.has(own)) return own
    for (const stream of this.#streams) {
      if (this.#scopes.get(stream)?.filters.some((filter) => takesSubject(filter, subject))) return stream
    }
    return undefined
  }

  #forgetOldest(): void {
    if (this.#scopes.size < SCOPES_MAX) return
    const [oldest] = this.#scopes.keys()
    if (oldest !== undefined) this.forget(oldest)
  }
}

function spread(pauseMs: number, random: number): number {
  return Math.round(pauseMs * (0.5 + random / 2))
}

/** Spread, so that what a relay leaves behind does not come back all at once. */
function farOff(random: number): number {
  return spread(RELEASED_BEFORE_MS, random)
}
