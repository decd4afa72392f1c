import { randomUUID } from 'node:crypto'
import { setMaxListeners } from 'node:events'
import type pg from 'pg'
import type { Logger } from 'pino'
import { failpoint } from 'postcommit/protocol'
import type { Delivery, Destination } from '../destinations/destination.ts'
import type { Outcome } from '../engine/outcome.ts'
import { settle } from '../engine/settle.ts'
import type { Metrics } from '../observe/metrics.ts'
import { type ClaimedDelivery, claimDue } from '../store/claim-due.ts'
import { releaseClaims } from '../store/release-claims.ts'
import { releaseHeld } from '../store/release-held.ts'
import { selectNextDue } from '../store/select-next-due.ts'
import { WakeSignal } from '../wake-signal.ts'
import { Lane } from './lane.ts'
import { Recorder } from './recorder.ts'

/** What a dispatcher works with. */
export interface DispatcherOptions {
  readonly source: string
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

interface Claim {
  readonly row: ClaimedDelivery
  readonly token: string
}

const CLAIM_MAX = 500
const SWEEP_MS = 1000
const ERROR_PAUSE_MS = 500

/** Delivers what is due: claims as much as can be sent, sends it, writes the results in batches. */
export function startDispatcher(options: DispatcherOptions): Dispatcher {
  const { source, pool, destinations, metrics, log, pollMs } = options
  const signal = new WakeSignal()
  const aborter = new AbortController()
  // One listener for every call under way.
  setMaxListeners(0, aborter.signal)
  const lanes = new Map([...destinations].map(([name, destination]) => [name, new Lane(destination, metrics)]))
  const running = new Map<string, Claim>()
  const recorder = new Recorder({ ...options, onRecorded: () => signal.call() })
  let stopping = false

  async function run(): Promise<void> {
    let pauseMs = pollMs.min
    let sweptAt = performance.now()
    while (!stopping) {
      const relay = options.relayId()
      if (relay === undefined || lanes.size === 0) {
        await signal.wait(pollMs.max)
        continue
      }
      try {
        if (performance.now() - sweptAt > SWEEP_MS) {
          await releaseHeld(pool)
          sweptAt = performance.now()
        }
        const claimed = await claim(relay)
        options.onReadOk()
        pauseMs = claimed > 0 ? pollMs.min : Math.min(pollMs.max, pauseMs * 2)
        if (claimed === 0) await signal.wait(await untilNextDue(pauseMs))
      } catch (error) {
        log.warn({ source, error: error instanceof Error ? error.message : String(error) }, 'cannot claim deliveries')
        await signal.wait(ERROR_PAUSE_MS)
      }
    }
  }

  async function claim(relay: string): Promise<number> {
    const now = performance.now()
    const slots = [...lanes].flatMap(([destination, lane]) => {
      const free = Math.min(CLAIM_MAX, lane.free(now))
      return free > 0 ? [{ destination, free }] : []
    })
    if (slots.length === 0) return 0
    const token = randomUUID()
    const rows = await claimDue(pool, relay, token, options.claimLeaseMs, slots)
    if (rows.length > 0) failpoint('dispatcher.after_claim')
    for (const row of rows) void deliver({ row, token })
    return rows.length
  }

  async function deliver(claimed: Claim): Promise<void> {
    const { row, token } = claimed
    const lane = lanes.get(row.destination)
    if (lane === undefined) return
    running.set(row.id, claimed)
    const startedAt = performance.now()
    const outcome = await lane.deliver(deliveryOf(source, row), aborter.signal)
    failpoint('dispatcher.after_response')
    running.delete(row.id)
    if (aborter.signal.aborted) return
    metrics.attempts.inc({ source, destination: row.destination, outcome: outcome.kind })
    report(row, outcome)
    const settlement = settle(outcome, row.attempts, lane.policy, Math.random())
    recorder.add({
      destination: row.destination,
      id: row.id,
      token,
      settlement,
      durationMs: performance.now() - startedAt,
    })
  }

  function report(row: ClaimedDelivery, outcome: Outcome): void {
    if (outcome.kind === 'confirmed') return
    const { gid, branch, destination, attempts } = row
    log.info({ source, gid, branch, destination, attempt: attempts + 1, ...outcome }, 'delivery not confirmed')
  }

  /** Sleeps until something is due or a breaker lets calls through again, the poll being the upper bound. */
  async function untilNextDue(pauseMs: number): Promise<number> {
    const now = performance.now()
    const ready = [...lanes].filter(([, lane]) => lane.free(now) > 0).map(([name]) => name)
    const due = ready.length === 0 ? undefined : await selectNextDue(pool, ready)
    const reopens = [...lanes.values()].map((lane) => lane.reopensInMs(now) ?? pollMs.max)
    return Math.max(1, Math.min(pauseMs, due ?? pauseMs, ...reopens))
  }

  const ended = run()
  return {
    wake: () => signal.call(),
    async stop({ drainMs }) {
      stopping = true
      signal.call()
      await ended
      const deadline = performance.now() + drainMs
      while (running.size > 0 && performance.now() < deadline) await signal.wait(20)
      aborter.abort()
      await recorder.stop(Math.max(1000, deadline - performance.now()))
      const left = [...running.values()].map(({ row, token }) => ({ id: row.id, token }))
      if (left.length > 0) await releaseClaims(pool, left).catch(() => undefined)
    },
  }
}

function deliveryOf(source: string, row: ClaimedDelivery): Delivery {
  return {
    source,
    gid: row.gid,
    branch: row.branch,
    destination: row.destination,
    target: row.target,
    key: row.key ?? undefined,
    content: row.payload ?? row.body ?? '',
    headers: row.headers === null ? {} : (JSON.parse(row.headers) as Record<string, string>),
    attempt: row.attempts + 1,
  }
}
