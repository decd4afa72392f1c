import { randomUUID } from 'node:crypto'
import { setMaxListeners } from 'node:events'
import type pg from 'pg'
import type { Logger } from 'pino'
import { failpoint, within } from 'postcommit/protocol'
import type { Door } from '../../destinations/gate.ts'
import { recordVerdict } from '../../engine/transaction/record-verdict.ts'
import type { Message } from '../../engine/transaction/transaction.ts'
import type { Metrics } from '../../observe/metrics.ts'
import { type CheckSlots, claimChecks } from '../../store/transaction/claim-checks.ts'
import { endOutage, recordOutage } from '../../store/transaction/record-outage.ts'
import type { Progress } from '../../store/transaction/record-progress.ts'
import { releaseTransactions } from '../../store/transaction/release-transactions.ts'
import { selectCheckDestinations } from '../../store/transaction/select-check-destinations.ts'
import type { ClaimedTransaction } from '../../store/transaction/transaction-row.ts'
import { WakeSignal } from '../../wake-signal.ts'
import type { DecidedMessage, Handed } from '../intake/hand-over.ts'
import { randomIn } from '../run/dtm-words.ts'
import { reasonText } from '../run/unwritten-work.ts'
import { transactionOf } from '../stored/engine-view.ts'
import { Recorder } from '../stored/progress-writer.ts'
import type { Asked, Asker } from './asker.ts'

/** What the back-query loop works with. */
export interface BackQueryOptions {
  readonly source: string
  /** Its sessions need DISPATCHER_OPTIONS. */
  readonly pool: pg.Pool
  /** The id under which messages are claimed; undefined while this relay does not take part. */
  readonly relayId: () => string | undefined
  /** Who answers under a name, through the gate that all calls there go through; undefined: this relay knows none. */
  readonly asker: (destination: string) => Asker | undefined
  readonly metrics: Metrics
  readonly log: Logger
  readonly claimLeaseMs: number
  readonly pollMs: { readonly min: number; readonly max: number }
  /** A message for the outbox is committed. */
  readonly handOver: (message: DecidedMessage) => Promise<Handed>
  /** A message is submitted by its verdict, and still claimed since `heldMs`: to be carried out. */
  readonly onCommitted: (row: ClaimedTransaction, token: string, heldMs: number) => void
  /** A message was decided, and its claim is over. */
  readonly onDecided: (row: ClaimedTransaction, status: 'submitted' | 'failed', reason: string | undefined) => void
  /** What nobody is asked about, claimed because its deadline has come. */
  readonly onDeadline: (row: ClaimedTransaction, token: string) => void
}

interface Lane {
  readonly asker: Asker
  readonly door: Door
  /** Claimed and not asked about yet. */
  readonly waiting: { readonly row: ClaimedTransaction; readonly token: string }[]
  /** Asked about and not written yet. */
  asking: number
  /** Whether people are told that nobody answers there. */
  isOut: boolean
  /** When they were told last, monotonic milliseconds. */
  toldAt: number
}

/** How many are in hand for every place, at most: a claim takes as long as several questions. */
const HELD_PER_PLACE = 8
const DEADLINES_MAX = 100
/** How many places that are asked are remembered. */
const LANES_MAX = 1000
/** A service is found again soon after its return, and one question a second costs nothing. */
const PROBE_MS = 1000
const GAP_MS = 2
const ERROR_PAUSE_MS = { first: 50, cap: 2000 }
const LAST_WRITES_MS = 2000

/**
 * Asks what became of messages that were announced and neither submitted nor given up in time. Only a verdict decides.
 * Each destination has places of its own and a breaker: however many messages wait for a service that is away, no more
 * than one question is put to it at a time, and none of its messages is even claimed.
 */
export class BackQueryLoop {
  readonly #options: BackQueryOptions
  readonly #signal = new WakeSignal()
  readonly #recorder: Recorder
  readonly #lanes = new Map<string, Lane>()
  readonly #aborter = new AbortController()
  readonly #claims = new Map<string, string>()
  readonly #unknown = new Set<string>()
  readonly #ended: Promise<void>
  #asking = 0
  #stopping = false

  constructor(options: BackQueryOptions) {
    this.#options = options
    this.#recorder = new Recorder(options)
    // One listener for every question under way.
    setMaxListeners(0, this.#aborter.signal)
    this.#ended = this.#run()
  }

  /** Looks for due questions now. */
  wake(): void {
    this.#signal.call()
  }

  /** Asks nothing more, writes what was answered, and gives back the rest. */
  async stop({ drainMs }: { readonly drainMs: number }): Promise<void> {
    const deadline = performance.now() + drainMs
    this.#stopping = true
    this.#signal.call()
    for (const lane of this.#lanes.values()) lane.waiting.splice(0)
    while (this.#asking > 0 && performance.now() < deadline) await this.#signal.wait(20)
    this.#aborter.abort()
    const left = [...this.#claims].map(([id, token]) => ({ id, token }))
    const release = left.length === 0 ? undefined : releaseTransactions(this.#options.pool, left)
    await within(LAST_WRITES_MS, Promise.all([this.#ended, release]), () => undefined).catch(() => undefined)
  }

  async #run(): Promise<void> {
    const { source, log, relayId, pollMs } = this.#options
    let errorPauseMs = ERROR_PAUSE_MS.first
    while (!this.#stopping) {
      const relay = relayId()
      if (relay === undefined) {
        await this.#signal.wait(pollMs.max)
        continue
      }
      try {
        const idleMs = await this.#claim(relay)
        errorPauseMs = ERROR_PAUSE_MS.first
        await this.#signal.wait(idleMs)
      } catch (error) {
        log.warn({ source, error: error instanceof Error ? error.message : String(error) }, 'cannot claim questions')
        await this.#signal.wait(errorPauseMs)
        errorPauseMs = Math.min(ERROR_PAUSE_MS.cap, errorPauseMs * 2)
      }
    }
  }

  /** Claims what can be asked now; resolves to how long there is nothing to do, milliseconds. */
  async #claim(relay: string): Promise<number> {
    const { pool, claimLeaseMs: leaseMs, pollMs, onDeadline } = this.#options
    const due = await selectCheckDestinations(pool)
    const slots = due.flatMap(({ destination, dueInMs }): CheckSlots[] => {
      const free = dueInMs <= 0 ? this.#free(destination) : 0
      return free > 0 ? [{ destination, free }] : []
    })
    let idleMs = pollMs.max
    for (const { destination, dueInMs, isOut } of due) {
      // Perhaps by a relay that is gone, or that alone does not get there.
      const lane = this.#lanes.get(destination)
      if (lane !== undefined && isOut) lane.isOut = true
      if (dueInMs > 0) idleMs = Math.min(idleMs, dueInMs)
      else if (!slots.some((slot) => slot.destination === destination)) {
        const reopensInMs = lane?.door.reopensInMs(performance.now()) ?? pollMs.max
        idleMs = Math.min(idleMs, reopensInMs)
      }
    }
    if (slots.length === 0) return Math.max(GAP_MS, Math.ceil(idleMs))
    const token = randomUUID()
    const claimed = await claimChecks(pool, { relay, token, leaseMs }, slots)
    if (claimed.length > 0) failpoint('back_query.after_claim')
    for (const row of claimed) {
      if (row.checkDestination === '') onDeadline(row, token)
      else {
        this.#claims.set(row.id, token)
        this.#lane(row.checkDestination)?.waiting.push({ row, token })
      }
    }
    for (const { destination } of slots) this.#pump(this.#lanes.get(destination))
    return claimed.length === 0 ? Math.max(GAP_MS, Math.ceil(idleMs)) : GAP_MS
  }

  #free(destination: string): number {
    if (destination === '') return DEADLINES_MAX
    const lane = this.#lane(destination)
    if (lane === undefined) return 0
    const free = lane.door.free(performance.now())
    // A probe is one question; the rest stays where it costs nothing.
    if (!lane.door.isClosed) return lane.waiting.length === 0 ? free : 0
    return isHalfEmpty(lane) ? heldMax(lane) - held(lane) : 0
  }

  #lane(destination: string): Lane | undefined {
    const { source, log } = this.#options
    const asker = this.#options.asker(destination)
    const known = this.#lanes.get(destination)
    // The gate of an origin goes when it has been idle, and comes back as another one.
    if (known !== undefined && known.asker.gate === asker?.gate) return known
    if (asker === undefined) {
      if (!this.#unknown.has(destination))
        log.error(
          { source, destination },
          'prepared messages name a destination of back-queries that this relay does not have',
        )
      this.#unknown.add(destination)
      return undefined
    }
    const door = asker.gate.door({
      waiting: () => (this.#stopping ? 0 : lane.waiting.length),
      onChange: () => this.#pump(lane),
      probeEveryMs: PROBE_MS,
    })
    const lane: Lane = { asker, door, waiting: [], asking: 0, isOut: false, toldAt: Number.NEGATIVE_INFINITY }
    this.#makeRoom()
    this.#lanes.set(destination, lane)
    return lane
  }

  /** Services come with what they prepare: what is known of one that has nothing to be asked about may go. */
  #makeRoom(): void {
    if (this.#lanes.size < LANES_MAX) return
    for (const [destination, lane] of this.#lanes) {
      if (held(lane) > 0) continue
      this.#lanes.delete(destination)
      return
    }
  }

  #pump(lane: Lane | undefined): void {
    if (lane === undefined || this.#stopping) return
    while (lane.waiting.length > 0 && lane.door.free(performance.now()) > 0) {
      const next = lane.waiting.shift()
      if (next !== undefined) void this.#ask(lane, next.row, next.token)
    }
    if (lane.waiting.length === 0 || !Number.isFinite(lane.door.reopensInMs(performance.now()))) return
    // The service went away meanwhile: these go back, as if they had never been claimed.
    const back = lane.waiting.splice(0).map(({ row, token }) => ({ id: row.id, token }))
    for (const { id } of back) this.#claims.delete(id)
    releaseTransactions(this.#options.pool, back).catch(() => undefined)
  }

  async #ask(lane: Lane, row: ClaimedTransaction, token: string): Promise<void> {
    const { source, metrics } = this.#options
    const askedAt = performance.now()
    const place = lane.door.take()
    this.#asking += 1
    lane.asking += 1
    try {
      const asked = await lane.asker
        .ask(row, this.#aborter.signal)
        .catch((error: unknown): Asked => ({ outcome: 'unreachable', error: String(error) }))
      const { outcome } = asked
      if (this.#aborter.signal.aborted) return
      failpoint('back_query.after_answer')
      place.free(outcome === 'unreachable' ? 'away' : 'reached')
      const destination = row.checkDestination.includes('://') ? 'url' : row.checkDestination
      metrics.backQueries.inc({ source, destination, verdict: outcome })
      this.#tell(lane, row.checkDestination, asked)
      await this.#record(row, token, asked, askedAt)
    } finally {
      place.free()
      this.#claims.delete(row.id)
      this.#asking -= 1
      lane.asking -= 1
      // Not for every single answer: claims that are made for one take as long as those for a hundred.
      if (isHalfEmpty(lane) || this.#stopping) this.#signal.call()
    }
  }

  /** Tells people who look at what is in doubt whether anybody answers at a destination. */
  #tell(lane: Lane, destination: string, { outcome, error = outcome }: Asked): void {
    const { pool } = this.#options
    const now = performance.now()
    // What cannot be written is written after the next question.
    if (outcome !== 'unreachable') {
      if (lane.isOut) void endOutage(pool, destination).catch(() => undefined)
      lane.isOut = false
    } else if (!lane.isOut || now - lane.toldAt >= PROBE_MS) {
      lane.isOut = true
      lane.toldAt = now
      void recordOutage(pool, destination, error).catch(() => undefined)
    }
  }

  async #record(row: ClaimedTransaction, token: string, { outcome, error }: Asked, askedAt: number): Promise<void> {
    const { claimLeaseMs, log, source, onCommitted, onDecided } = this.#options
    const message = transactionOf(row)
    const tookMs = performance.now() - askedAt
    const nowMs = row.nowMs + tookMs
    const isStillOurs = () => performance.now() - askedAt < claimLeaseMs - 1000 && !this.#aborter.signal.aborted
    if (message.mode !== 'msg') {
      await this.#recorder.write(this.#progress(row, token, { dueAtMs: nowMs + message.backOff.capMs }), isStillOurs)
      return
    }
    const change = recordVerdict(message satisfies Message, outcome, row.asked, nowMs, randomIn(row, Math))
    switch (change.kind) {
      case 'late':
        log.error({ source, gid: row.gid, alarm: change.alarm }, 'a verdict contradicts what was decided')
        return
      case 'undecided': {
        const { checks: asked, dueAtMs, comesIntoDoubt } = change
        const event = outcome === 'unreachable' ? undefined : 'asked'
        const reason = error === undefined ? outcome : `${outcome}: ${error}`
        const entry = { source, gid: row.gid, verdict: outcome, error, asked }
        if (comesIntoDoubt) log.warn(entry, 'a prepared message is in doubt')
        const progress = this.#progress(row, token, { dueAtMs, asked, error: reason, event, durationMs: tookMs })
        await this.#recorder.write(progress, isStillOurs)
        failpoint('back_query.after_record')
        return
      }
      case 'decided': {
        const to = change.transition.to === 'submitted' ? 'submitted' : 'failed'
        const reason = 'reason' in change.transition ? reasonText(change.transition.reason) : undefined
        if (to === 'submitted' && row.isForOutbox) {
          await this.#handOver(row)
          return
        }
        // A keyed one has to ask again whether it is its turn.
        const goesOn = to === 'submitted' && row.key === null
        const due = to === 'submitted' && !goesOn ? { dueAtMs: nowMs } : {}
        const progress = this.#progress(row, token, { to, ...due, rollbackReason: reason })
        if (!(await this.#recorder.write(progress, isStillOurs))) return
        failpoint('back_query.after_record')
        if (goesOn) onCommitted({ ...row, status: to }, token, tookMs)
        else onDecided(row, to, reason)
      }
    }
  }

  async #handOver(row: ClaimedTransaction): Promise<void> {
    const { handOver, onDecided, log, source } = this.#options
    try {
      const handed = await handOver({ id: row.id, isKeyed: row.key !== null })
      failpoint('back_query.after_record')
      if (handed !== 'nothing') onDecided(row, 'submitted', undefined)
    } catch (error) {
      // It is asked about again when its claim has run out.
      log.warn({ source, gid: row.gid, error: String(error) }, 'cannot hand a message over')
    }
  }

  #progress(row: ClaimedTransaction, token: string, given: Partial<Progress>): Progress {
    const { id, opCount, seq, asked } = row
    return { id, token, from: 'prepared', opCount, to: 'prepared', seq, asked, operations: [], ...given }
  }
}

function held({ waiting, asking }: Lane): number {
  return waiting.length + asking
}

function heldMax({ asker }: Lane): number {
  return asker.gate.concurrency * HELD_PER_PLACE
}

function isHalfEmpty(lane: Lane): boolean {
  return 2 * held(lane) <= heldMax(lane)
}
