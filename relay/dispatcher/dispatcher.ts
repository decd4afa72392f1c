import { randomUUID } from 'node:crypto'
import type pg from 'pg'
import type { Logger } from 'pino'
import { failpoint, within } from 'postcommit/protocol'
import type { Broker, BrokerTrouble } from '../broker/broker.ts'
import type { Gates } from '../destinations/gates.ts'
import type { Metrics } from '../observe/metrics.ts'
import { type ClaimedDelivery, claimDue, type FreeSlots } from '../store/delivery/claim-due.ts'
import { releaseClaims } from '../store/delivery/release-claims.ts'
import { releaseHeld } from '../store/delivery/release-held.ts'
import { releaseUnsent } from '../store/delivery/release-unsent.ts'
import { selectNextDue } from '../store/delivery/select-next-due.ts'
import { WakeSignal } from '../wake-signal.ts'
import { Claims } from './claims.ts'
import type { Job } from './lane.ts'
import { Recorder } from './recorder.ts'
import { Sender } from './sender.ts'
import { startWithheld, type Withheld } from './withheld.ts'

/** What a dispatcher works with. */
export interface DispatcherOptions {
  readonly source: string
  /** Its sessions need DISPATCHER_OPTIONS. */
  readonly pool: pg.Pool
  /** The id under which rows are claimed; undefined while this relay does not take part. */
  readonly relayId: () => string | undefined
  readonly gates: Gates
  readonly metrics: Metrics
  readonly log: Logger
  /** How long a claim holds, milliseconds; longer than any destination takes to answer. */
  readonly claimLeaseMs: number
  readonly pollMs: { readonly min: number; readonly max: number }
  readonly onReadOk: () => void
  /** The broker, once it may be published to. */
  readonly broker?: () => Broker | undefined
  /** What keeps messages from the broker. */
  readonly brokerTrouble?: () => readonly BrokerTrouble[]
}

/** A running dispatcher. */
export interface Dispatcher {
  /** Looks for due deliveries now. */
  wake(): void
  /** Claims nothing more, lets what runs finish for at most `drainMs`, writes the results, gives back the rest. */
  stop(options: { readonly drainMs: number }): Promise<void>
}

/**
 * Delivers what is due: claims as much as can be sent, sends it, writes the results in batches, and claims again.
 *
 * Three things end its waiting: a wake-up after a commit or a written result, the time at which something falls due,
 * and a poll that grows from `pollMs.min` to `pollMs.max`, in case a wake-up was lost.
 */
export function startDispatcher(options: DispatcherOptions): Dispatcher {
  return new DispatchLoop(options)
}

const CLAIM_MAX = 500
/** Between two claims while there is more to do than slots: they fill up meanwhile, and claims are not made for ones. */
const CLAIM_GAP_MS = 2
/** How many rows a claim looks at after one that ran into followers of blocked keys. */
const DIG_DEPTH = 500
/** Results that wait for the database; beyond them nothing more is sent. */
const UNWRITTEN_MAX = 2000
const SWEEP_MS = 10_000
const NEXT_DUE_MS = 20
const ERROR_PAUSE_MS = { first: 50, cap: 2000 }
const LAST_WRITES_MS = 2000

class DispatchLoop implements Dispatcher {
  readonly #options: DispatcherOptions
  readonly #signal = new WakeSignal()
  readonly #claims = new Claims()
  readonly #recorder: Recorder
  readonly #sender: Sender
  readonly #withheld: Withheld
  readonly #ended: Promise<void>
  #stopping = false
  #depth = 0
  #unsent: Job[] = []
  /** Destinations of which the last claim got everything that was due. */
  #exhausted: ReadonlySet<string> = new Set()
  /** Until then nothing is expected of those. */
  #lookAtMs = 0
  #sweepAt = performance.now() + SWEEP_MS
  #nextDueAskedAt = Number.NEGATIVE_INFINITY

  constructor(options: DispatcherOptions) {
    this.#options = options
    this.#recorder = new Recorder({
      ...options,
      onRecorded: (results) => {
        for (const { token } of results) this.#claims.recorded(token)
        for (const { withheldBy, settlement } of results) {
          if (withheldBy !== undefined && settlement.event === 'confirmed') this.#withheld.release(withheldBy)
        }
        // A follower may have been released, or something may be due again.
        if (results.some(({ key, settlement }) => key !== null || settlement.event !== 'confirmed')) this.#lookAtMs = 0
        this.#signal.call()
      },
    })
    this.#sender = new Sender({ ...options, onResult: (result) => this.#recorder.add(result) })
    this.#withheld = startWithheld({
      ...options,
      broker: options.broker ?? (() => undefined),
      troubles: () => [...(options.brokerTrouble?.() ?? []), ...this.#sender.trouble()],
      onDue: () => this.wake(),
    })
    this.#ended = this.#run()
  }

  wake(): void {
    this.#lookAtMs = 0
    this.#signal.call()
  }

  async stop({ drainMs }: { readonly drainMs: number }): Promise<void> {
    const deadline = performance.now() + drainMs
    this.#stopping = true
    this.#sender.close()
    this.#signal.call()
    await atMost(Math.min(drainMs, LAST_WRITES_MS), this.#ended)
    await this.#withheld.stop()
    await atMost(LAST_WRITES_MS, this.#giveBackUnsent())
    while (this.#sender.sending > 0 && performance.now() < deadline) await this.#signal.wait(20)
    this.#sender.abort()
    await this.#recorder.stop(LAST_WRITES_MS)
    const left = [...this.#claims.all(), ...this.#claims.finished()]
    if (left.length > 0) await atMost(LAST_WRITES_MS, releaseClaims(this.#options.pool, left))
  }

  async #run(): Promise<void> {
    const { source, log, relayId, gates, pollMs, onReadOk } = this.#options
    let pauseMs = pollMs.min
    let errorPauseMs = ERROR_PAUSE_MS.first
    while (!this.#stopping) {
      const relay = relayId()
      if (relay === undefined || gates.named.size === 0 || this.#recorder.backlog > UNWRITTEN_MAX) {
        await this.#signal.wait(pollMs.max)
        continue
      }
      try {
        await this.#giveBackUncertain()
        await this.#giveBackUnsent()
        await this.#sweep()
        const slots = this.#sender.freeSlots()
        if (!this.#isWorthAsking(slots)) {
          await this.#signal.wait(this.#unaskedMs(slots))
          continue
        }
        this.#lookAtMs = Number.POSITIVE_INFINITY
        const found = await this.#claim(relay, slots)
        onReadOk()
        errorPauseMs = ERROR_PAUSE_MS.first
        pauseMs = found === 'nothing' ? Math.min(pollMs.max, pauseMs * 2) : pollMs.min
        const restMs = found === 'more' ? NEXT_DUE_MS : await this.#idleMs(pauseMs)
        // Who called meanwhile has set it to now.
        this.#lookAtMs = Math.min(this.#lookAtMs, performance.now() + restMs)
        await this.#signal.wait(found === 'more' ? CLAIM_GAP_MS : restMs)
      } catch (error) {
        this.#lookAtMs = 0
        log.warn({ source, error: error instanceof Error ? error.message : String(error) }, 'cannot claim deliveries')
        await this.#signal.wait(errorPauseMs)
        errorPauseMs = Math.min(ERROR_PAUSE_MS.cap, errorPauseMs * 2)
      }
    }
  }

  /** Every recorded batch wakes this loop: asking again for what has just been found empty doubled the statements. */
  #isWorthAsking(slots: readonly FreeSlots[]): boolean {
    if (slots.length > 0 && performance.now() >= this.#lookAtMs) return true
    return slots.some(({ destination }) => !this.#exhausted.has(destination))
  }

  #unaskedMs(slots: readonly FreeSlots[]): number {
    const soonestMs = Math.min(this.#options.pollMs.max, this.#sender.reopensInMs())
    return Math.max(1, slots.length === 0 ? soonestMs : Math.min(soonestMs, this.#lookAtMs - performance.now()))
  }

  /** Claims and sends. `more`: at least one destination got as much as it could take, so that more may be due. */
  async #claim(relay: string, free: readonly FreeSlots[]): Promise<'nothing' | 'all' | 'more'> {
    const { pool, claimLeaseMs } = this.#options
    const slots = free.map((slot) => ({ ...slot, free: Math.min(CLAIM_MAX, slot.free) }))
    const token = randomUUID()
    const claimedAtMs = performance.now()
    this.#claims.opening(token)
    const finished = this.#claims.finished()
    const { deliveries, held } = await claimDue(pool, relay, token, claimLeaseMs, slots, this.#depth, finished)
    this.#claims.forgotten(finished)
    if (deliveries.length > 0) failpoint('dispatcher.after_claim')
    this.#claims.opened(token, deliveries.length)
    this.#depth = held > 0 ? DIG_DEPTH : 0
    for (const row of deliveries) this.#sender.send({ row, token, claimedAtMs })
    const exhausted = held === 0 ? slots.filter((slot) => isExhausted(slot, deliveries)) : []
    this.#exhausted = new Set(exhausted.map(({ destination }) => destination))
    if (deliveries.length + held === 0) return 'nothing'
    return exhausted.length < slots.length ? 'more' : 'all'
  }

  /** A claim whose statement failed may have been written all the same; no other relay would touch its rows for a minute. */
  async #giveBackUncertain(): Promise<void> {
    const tokens = this.#claims.uncertain()
    if (tokens.length === 0) return
    await releaseClaims(this.#options.pool, tokens)
    this.#claims.givenBack(tokens)
  }

  /** What found no slot after all: its destination got slow or is away, or this relay stops. */
  async #giveBackUnsent(): Promise<void> {
    this.#unsent.push(...this.#sender.takeUnsent())
    if (this.#unsent.length === 0) return
    const unsent = this.#unsent
    await releaseUnsent(
      this.#options.pool,
      unsent.map(({ row: { id }, token }) => ({ id, token })),
    )
    this.#unsent = []
    for (const { token } of unsent) this.#claims.recorded(token)
    this.#lookAtMs = 0
  }

  async #sweep(): Promise<void> {
    const begunAt = performance.now()
    if (begunAt < this.#sweepAt) return
    const { source, log, pool } = this.#options
    const released = await releaseHeld(pool)
    if (released > 0) this.#lookAtMs = 0
    if (released > 0) log.warn({ source, released }, 'held deliveries without a predecessor were released')
    // However many keys wait, no more than a fiftieth of the time.
    const tookMs = performance.now() - begunAt
    this.#sweepAt = performance.now() + Math.max(SWEEP_MS, 50 * tookMs)
  }

  /** How long to wait without a wake-up: until something is due or a breaker lets a call through, at most `pauseMs`. */
  async #idleMs(pauseMs: number): Promise<number> {
    const now = performance.now()
    const soonestMs = Math.max(1, Math.min(pauseMs, this.#sender.reopensInMs()))
    // A service that publishes wakes the dispatcher too, hundreds of times a second and for nothing.
    if (soonestMs <= NEXT_DUE_MS || now - this.#nextDueAskedAt < NEXT_DUE_MS) return Math.min(soonestMs, NEXT_DUE_MS)
    const ready = this.#sender.freeSlots().map(({ destination }) => destination)
    if (ready.length === 0) return soonestMs
    this.#nextDueAskedAt = now
    const dueMs = await selectNextDue(this.#options.pool, ready)
    // What is due already and was not claimed is locked by another transaction: asking again at once would spin.
    return dueMs === undefined || dueMs <= 0 ? soonestMs : Math.min(soonestMs, Math.ceil(dueMs))
  }
}

/** Whether a claim got everything of a destination that was due: it was ended by neither limit. */
function isExhausted({ destination, free, bytes }: FreeSlots, deliveries: readonly ClaimedDelivery[]): boolean {
  const got = deliveries.filter((delivery) => delivery.destination === destination)
  return (
    got.length < free && got.reduce((sum, delivery) => sum + delivery.bytes, 0) < (bytes ?? Number.POSITIVE_INFINITY)
  )
}

/** Waits for work that may never end because a server does not answer; stopping must. Its failure is not ours. */
async function atMost(ms: number, work: Promise<unknown>): Promise<void> {
  await within(ms, work, () => undefined).catch(() => undefined)
}
