import { randomUUID } from 'node:crypto'
import { setMaxListeners } from 'node:events'
import type pg from 'pg'
import type { Logger } from 'pino'
import { failpoint } from 'postcommit/protocol'
import type { Destination } from '../destinations/destination.ts'
import type { Outcome } from '../engine/outcome.ts'
import { type Settlement, settle } from '../engine/settle.ts'
import type { Metrics } from '../observe/metrics.ts'
import { type ClaimedDelivery, claimDue } from '../store/claim-due.ts'
import { releaseClaims } from '../store/release-claims.ts'
import { releaseHeld } from '../store/release-held.ts'
import { selectNextDue } from '../store/select-next-due.ts'
import { WakeSignal } from '../wake-signal.ts'
import { Claims } from './claims.ts'
import { Lane } from './lane.ts'
import { Recorder } from './recorder.ts'

/** What a dispatcher works with. */
export interface DispatcherOptions {
  readonly source: string
  /** Its sessions need DISPATCHER_OPTIONS. */
  readonly pool: pg.Pool
  /** The id under which rows are claimed; undefined while this relay does not take part. */
  readonly relayId: () => string | undefined
  readonly destinations: ReadonlyMap<string, Destination>
  readonly metrics: Metrics
  readonly log: Logger
  /** How long a claim holds, milliseconds; longer than any destination takes to answer. */
  readonly claimLeaseMs: number
  readonly pollMs: { readonly min: number; readonly max: number }
  readonly onReadOk: () => void
}

/** A running dispatcher. */
export interface Dispatcher {
  /** Looks for due deliveries now. */
  wake(): void
  /** Claims nothing more, lets what runs finish for at most `drainMs`, writes the results, gives back the rest. */
  stop(options: { readonly drainMs: number }): Promise<void>
}

const CLAIM_MAX = 500
const DIG_DEPTH = 500
const UNWRITTEN_MAX = 2000
const SWEEP_MS = 10_000
const NEXT_DUE_MS = 20
const ERROR_PAUSE_MS = { first: 50, cap: 2000 }
const LAST_WRITES_MS = 2000

/**
 * Delivers what is due: claims as much as can be sent, sends it, writes the results in batches, and then claims more.
 *
 * Three things end its waiting: a wake-up after a commit or a written result, the time at which something falls due,
 * and a poll that grows from `pollMs.min` to `pollMs.max`, in case a wake-up was lost.
 */
export function startDispatcher(options: DispatcherOptions): Dispatcher {
  const { source, pool, destinations, metrics, log, pollMs } = options
  const signal = new WakeSignal()
  const aborter = new AbortController()
  // One listener for every call under way.
  setMaxListeners(0, aborter.signal)
  const lanes = new Map([...destinations].map(([name, destination]) => [name, new Lane(destination, options)]))
  const claims = new Claims()
  const recorder = new Recorder({
    ...options,
    onRecorded(results) {
      for (const { token } of results) claims.recorded(token)
      signal.call()
    },
  })
  let stopping = false
  let sending = 0
  let depth = 0
  let sweepAt = performance.now() + SWEEP_MS
  let askedAt = Number.NEGATIVE_INFINITY

  async function run(): Promise<void> {
    let pauseMs = pollMs.min
    let errorPauseMs = ERROR_PAUSE_MS.first
    while (!stopping) {
      const relay = options.relayId()
      if (relay === undefined || lanes.size === 0 || recorder.backlog > UNWRITTEN_MAX) {
        await signal.wait(pollMs.max)
        continue
      }
      try {
        await giveBackUncertain()
        await sweep()
        const found = await claim(relay)
        options.onReadOk()
        errorPauseMs = ERROR_PAUSE_MS.first
        pauseMs = found ? pollMs.min : Math.min(pollMs.max, pauseMs * 2)
        if (!found) await signal.wait(await idleMs(pauseMs))
      } catch (error) {
        log.warn({ source, error: error instanceof Error ? error.message : String(error) }, 'cannot claim deliveries')
        await signal.wait(errorPauseMs)
        errorPauseMs = Math.min(ERROR_PAUSE_MS.cap, errorPauseMs * 2)
      }
    }
  }

  /** Claims and sends; resolves to whether there was anything, so that it is worth looking again at once. */
  async function claim(relay: string): Promise<boolean> {
    const now = performance.now()
    const slots = [...lanes].flatMap(([destination, lane]) => {
      const free = Math.min(CLAIM_MAX, lane.free(now))
      return free > 0 ? [{ destination, free }] : []
    })
    if (slots.length === 0) return false
    const token = randomUUID()
    claims.opening(token)
    const { deliveries, held } = await claimDue(pool, relay, token, options.claimLeaseMs, slots, depth)
    if (deliveries.length > 0) failpoint('dispatcher.after_claim')
    claims.opened(token, deliveries.length)
    depth = held > 0 ? DIG_DEPTH : 0
    if (aborter.signal.aborted) return false
    for (const row of deliveries) void deliver(row, token)
    return deliveries.length + held > 0
  }

  async function deliver(row: ClaimedDelivery, token: string): Promise<void> {
    const lane = lanes.get(row.destination)
    if (lane === undefined) return
    sending += 1
    const startedAt = performance.now()
    const outcome = await lane.deliver(row, aborter.signal)
    sending -= 1
    // The relay stops for good: what was cut off is nobody's failure. Its claim is given back.
    if (aborter.signal.aborted) return
    const { id, destination, key } = row
    const settlement = settle(outcome, row.attempts, lane.policy, Math.random())
    metrics.attempts.inc({ source, destination, outcome: outcome.kind })
    report(row, outcome, settlement)
    recorder.add({ id, destination, key, token, settlement, durationMs: performance.now() - startedAt })
  }

  function report({ gid, branch, destination }: ClaimedDelivery, outcome: Outcome, settlement: Settlement): void {
    if (outcome.kind === 'confirmed') return
    const entry = { source, gid, branch, destination, ...settlement }
    if (settlement.event === 'dead') log.warn(entry, 'dead letter')
    else log.info(entry, 'delivery not confirmed')
  }

  /** Claims whose statement failed may have been written all the same; nobody else would touch them for a minute. */
  async function giveBackUncertain(): Promise<void> {
    const tokens = claims.uncertain()
    if (tokens.length === 0) return
    await releaseClaims(pool, tokens)
    claims.givenBack(tokens)
  }

  async function sweep(): Promise<void> {
    const now = performance.now()
    if (now < sweepAt) return
    const released = await releaseHeld(pool)
    if (released > 0) log.warn({ source, released }, 'held deliveries without a predecessor were released')
    // However many keys wait, no more than a fiftieth of the time.
    sweepAt = performance.now() + Math.max(SWEEP_MS, 50 * (performance.now() - now))
  }

  /** How long to wait if nobody calls: until something is due or a breaker lets a call through, at most `pauseMs`. */
  async function idleMs(pauseMs: number): Promise<number> {
    const now = performance.now()
    const reopens = [...lanes.values()].map((lane) => lane.reopensInMs(now) ?? pauseMs)
    const soonest = Math.max(1, Math.min(pauseMs, ...reopens))
    // A service that publishes wakes the dispatcher too, hundreds of times a second and for nothing.
    if (soonest <= NEXT_DUE_MS || now - askedAt < NEXT_DUE_MS) return Math.min(soonest, NEXT_DUE_MS)
    askedAt = now
    const ready = [...lanes].filter(([, lane]) => lane.free(now) > 0).map(([name]) => name)
    const dueMs = ready.length === 0 ? undefined : await selectNextDue(pool, ready)
    // What is due already and was not claimed is locked by somebody: asking again at once would spin.
    return dueMs === undefined || dueMs <= 0 ? soonest : Math.min(soonest, dueMs)
  }

  const ended = run()
  return {
    wake: () => signal.call(),
    async stop({ drainMs }) {
      stopping = true
      signal.call()
      const deadline = performance.now() + drainMs
      await within(Math.min(drainMs, LAST_WRITES_MS), ended)
      while (sending > 0 && performance.now() < deadline) await signal.wait(20)
      aborter.abort()
      await recorder.stop(LAST_WRITES_MS)
      const left = claims.all()
      if (left.length > 0) await within(LAST_WRITES_MS, releaseClaims(pool, left))
    },
  }
}

/** Waits for work that may never end because the database does not answer; stopping must. */
async function within(ms: number, work: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms)
  })
  await Promise.race([work.catch(() => undefined), late])
  clearTimeout(timer)
}
