import type { Place } from '../../destinations/gate.ts'
import type { Op } from '../../engine/transaction/op.ts'
import { plan } from '../../engine/transaction/plan.ts'
import { isFinal } from '../../engine/transaction/transaction.ts'
import type { Progress } from '../../store/transaction/record-progress.ts'
import type { ClaimedTransaction, OperationRow } from '../../store/transaction/transaction-row.ts'
import { opKey, opsOf, transactionOf } from '../stored/engine-view.ts'
import { laneOf, readStoredTarget } from '../stored/stored-target.ts'
import { randomIn, reasonIn } from './dtm-words.ts'
import type { Pause } from './places.ts'
import type { StartedCall } from './started-call.ts'
import {
  begun,
  type EndedCall,
  ended,
  moved,
  mustBeginBeWritten,
  type OpNote,
  progressOf,
  resultOf,
  type Work,
} from './unwritten-work.ts'

/** What a running transaction is carried out with. */
export interface Carrier {
  /** The database's clock. */
  now(): number
  random(): number
  /** Nothing more is begun. */
  isStopping(): boolean
  /** Whether this relay can call there at all; if not, the call says so. */
  knows(lane: string): boolean
  /** A place for a call; undefined: none is free. */
  take(lane: string): Place | undefined
  /** Has `resume` called when there may be one; false: not in the near future. */
  park(lane: string, resume: () => void): boolean
  /** How long to stay away, if there is no room, after the pause before. */
  pause(lane: string, backoffMs: number): Pause
  /** How long a call may take at most, milliseconds. */
  limitMs(row: ClaimedTransaction, operation: OperationRow, lane: string | undefined): number
  /** Makes a call and says what became of it; undefined: it was cut off because the relay stops. */
  call(started: StartedCall): Promise<EndedCall | undefined>
  /** Replaces a branch that goes to a topic; resolves to how things are then, undefined if there is no such topic. */
  fanOut(row: ClaimedTransaction, branch: string, topic: string): Promise<ClaimedTransaction | undefined>
  write(progress: Progress, isStillOurs: () => boolean): Promise<boolean>
  /** A call gave no decision, or refused one. */
  onTrouble(row: ClaimedTransaction, op: Op, call: EndedCall, refusedDecision: boolean): void
  /** This relay has nothing more to do with it: it ended, waits for its time, or is another's. */
  onLeft(running: RunningTransaction, how: 'ended' | 'waiting' | 'fenced' | 'stopped'): void
}

/** The first calls of a transaction that is about to be inserted. */
interface FirstStep {
  /** What is to be inserted as begun. */
  readonly begun: readonly Op[]
  readonly seq: number
  /** False: there is nothing to begin right now; it is to be cancelled, and planned again once it is there. */
  readonly isWhole: boolean
  /** It was inserted: the calls may go. */
  confirm(id: string): void
  /** It was not, or not as planned. */
  cancel(): void
}

interface Start extends Omit<StartedCall, 'row'> {
  readonly slot: Place | undefined
}

interface Step {
  readonly starts: readonly Start[]
  /** What is to be written before anything is started; undefined: nothing. */
  readonly progress: Progress | undefined
  /** The claim ends with it. */
  readonly leaves: boolean
  readonly topic?: { readonly branch: string; readonly topic: string } | undefined
  readonly wakeAtMs: number | undefined
}

const LEASE_GRACE_MS = 1000
const TIMER_MAX_MS = 60_000

/**
 * A transaction that this relay has claimed, while it has something to do: plans, writes what was decided, makes the
 * calls, and plans again with what they came to. One write at a time; what comes to an end meanwhile goes with the next.
 *
 * Outcomes, the transition that follows from them and the begin of what comes next are one write, so nothing is called
 * on the strength of something that a crash would forget, and a saga of two branches takes three writes in all.
 */
export class RunningTransaction {
  readonly token: string
  #row: ClaimedTransaction
  readonly #claimUntilMs: number
  readonly #carrier: Carrier
  #work: Work
  /** Ops whose rows are behind, with what is to be said of them. */
  #behind = new Map<string, OpNote>()
  readonly #underWay = new Set<string>()
  #status: ClaimedTransaction['status']
  #reason: string | undefined
  #busy = false
  #left = false
  #again = false
  #dueAtMs: number | undefined
  /** Whether it is in the queue of a destination. */
  #isParked = false
  #timer: NodeJS.Timeout | undefined

  constructor(row: ClaimedTransaction, token: string, claimUntilMs: number, carrier: Carrier) {
    this.token = token
    this.#row = row
    this.#status = row.status
    this.#claimUntilMs = claimUntilMs
    this.#carrier = carrier
    this.#work = this.#load()
  }

  get row(): ClaimedTransaction {
    return this.#row
  }

  /** As it was last decided. */
  get status(): ClaimedTransaction['status'] {
    return this.#work.transaction.status
  }

  /** When it is looked at again, if it was left waiting. */
  get dueAtMs(): number | undefined {
    return this.#dueAtMs
  }

  get reason(): string | undefined {
    return this.#reason ?? this.#row.rollbackReason ?? undefined
  }

  /** Whether a call or a write is under way. */
  get isAtWork(): boolean {
    return this.#busy || this.#underWay.size > 0
  }

  /** Plans, and does what the plan says. */
  step(): void {
    if (this.#left) return
    if (this.#busy) {
      this.#again = true
      return
    }
    clearTimeout(this.#timer)
    this.#carryOut(this.#decide())
  }

  /** What is not finished is left as it is: the calls under way are told nothing, and their answers are not heard. */
  abandon(): void {
    this.#leave('stopped')
  }

  /** Plans what is not written yet: who hands it in writes the begin of the first calls with it, if there are any. */
  planFirst(): FirstStep {
    const step = this.#decide()
    // Nothing may happen to it before it is there.
    this.#busy = true
    const isWhole = !step.leaves && step.topic === undefined
    return {
      begun: isWhole ? this.#work.ops.filter((op) => op.calls > 0 && op.startSeq !== undefined) : [],
      seq: isWhole ? this.#work.seq : this.#row.seq,
      isWhole,
      confirm: (id) => {
        this.#busy = false
        this.#row = { ...this.#row, id }
        this.#carryOut({ ...step, progress: undefined })
      },
      cancel: () => {
        this.#left = true
        for (const { slot } of step.starts) slot?.free()
      },
    }
  }

  #load(): Work {
    const ops = opsOf(this.#row)
    // A delay counts from the submission, so it has to be known to whoever comes after.
    for (const op of ops) {
      const operation = this.#operation(op)
      if (operation?.dueAtMs === null && op.dueAtMs > this.#row.nowMs) this.#behind.set(opKey(op), {})
    }
    return { transaction: transactionOf(this.#row), ops, seq: this.#row.seq }
  }

  #operation({ branch, op }: Op): OperationRow | undefined {
    return this.#row.operations.find((one) => one.branch === branch && one.op === op)
  }

  #decide(): Step {
    const now = this.#carrier.now()
    let next = plan(this.#work.transaction, this.#work.ops, now)
    while (next.transition !== undefined) {
      if ('reason' in next.transition) this.#reason = reasonIn(this.#row, next.transition.reason, this.#behind)
      this.#work = moved(this.#work, next.transition)
      next = plan(this.#work.transaction, this.#work.ops, now)
    }
    const calls = next.run.flatMap((run) => (run.kind === 'call' && !this.#underWay.has(opKey(run.op)) ? [run.op] : []))
    const { starts, blockedBy, topic, isTooLate } = this.#start(calls, now)
    const isActive = this.#underWay.size + starts.length > 0
    const wakeAtMs = next.wakeAtMs
    if (isFinal(this.#work.transaction.status)) return this.#step(starts, { leaves: true })
    if (isActive) return this.#step(starts, { leaves: false, wakeAtMs })
    if (topic !== undefined && !isTooLate) return this.#step(starts, { leaves: false, topic })
    if (isTooLate) return this.#step(starts, { leaves: true, dueAtMs: now })
    if (blockedBy !== undefined) {
      if (!this.#park(blockedBy.lane))
        return this.#step(starts, { leaves: true, ...this.#pauseFor(blockedBy.lane, now) })
      return this.#step(starts, {
        leaves: false,
        wakeAtMs: Math.min(wakeAtMs ?? Number.POSITIVE_INFINITY, blockedBy.untilMs),
      })
    }
    return this.#step(starts, { leaves: true, dueAtMs: Math.max(wakeAtMs ?? now, now) })
  }

  /** Takes places for as many calls as can be begun. */
  #start(calls: readonly Op[], now: number) {
    const starts: Start[] = []
    let blockedBy: { readonly lane: string; readonly untilMs: number } | undefined
    let topic: Step['topic']
    let isTooLate = false
    for (const op of calls) {
      const operation = this.#operation(op)
      if (operation === undefined) continue
      const route = readStoredTarget(operation.target)
      const named = laneOf(route)
      const lane = named !== undefined && this.#carrier.knows(named) ? named : undefined
      const limitMs = this.#carrier.limitMs(this.#row, operation, lane)
      // A claim that runs out during a call would let a second relay make the same call.
      if (this.#claimUntilMs - now < limitMs + LEASE_GRACE_MS) {
        isTooLate = true
        continue
      }
      if (route.kind === 'topic') {
        topic = { branch: op.branch, topic: route.topic }
        continue
      }
      const slot = lane === undefined ? undefined : this.#carrier.take(lane)
      if (lane !== undefined && slot === undefined) {
        blockedBy = { lane, untilMs: this.#claimUntilMs - limitMs - LEASE_GRACE_MS }
        continue
      }
      this.#work = begun(this.#work, op, now + limitMs + LEASE_GRACE_MS)
      if (mustBeginBeWritten(this.#row, op)) this.#behind.set(opKey(op), {})
      starts.push({ op, operation, route, limitMs, slot })
    }
    return { starts, blockedBy, topic, isTooLate }
  }

  #park(lane: string): boolean {
    if (this.#row.id === '') return false
    this.#isParked ||= this.#carrier.park(lane, () => {
      this.#isParked = false
      this.step()
    })
    return this.#isParked
  }

  #pauseFor(lane: string, now: number): { readonly dueAtMs: number; readonly backoffMs?: number } {
    if (this.#carrier.isStopping()) return { dueAtMs: now }
    const { pauseMs, backoffMs } = this.#carrier.pause(lane, this.#row.backoffMs ?? 0)
    return { dueAtMs: now + pauseMs, backoffMs }
  }

  #step(
    starts: readonly Start[],
    next: {
      readonly leaves: boolean
      readonly wakeAtMs?: number | undefined
      readonly dueAtMs?: number
      readonly backoffMs?: number
      readonly topic?: Step['topic']
    },
  ): Step {
    const { leaves, wakeAtMs, topic, dueAtMs, backoffMs } = next
    this.#dueAtMs = dueAtMs
    const isChanged = this.#behind.size > 0 || this.#status !== this.#work.transaction.status
    const progress = isChanged || leaves ? this.#progress(dueAtMs, backoffMs) : undefined
    return { starts, progress, leaves, topic, wakeAtMs }
  }

  #progress(dueAtMs: number | undefined, backoffMs: number | undefined): Progress {
    const now = this.#carrier.now()
    const { id, opCount, asked } = this.#row
    const behind = this.#behind
    this.#behind = new Map()
    const operations = this.#work.ops.flatMap((op) => {
      const note = behind.get(opKey(op))
      return note === undefined ? [] : [progressOf(op, note, now)]
    })
    const from = this.#status
    const to = this.#work.transaction.status
    this.#status = to
    return {
      id,
      token: this.token,
      from,
      opCount,
      to,
      seq: this.#work.seq,
      dueAtMs,
      backoffMs,
      asked,
      rollbackReason: from === to ? undefined : this.#reason,
      operations,
    }
  }

  #carryOut({ starts, progress, leaves, topic, wakeAtMs }: Step): void {
    if (progress === undefined) {
      this.#call(starts)
      this.#wakeAt(wakeAtMs)
      if (topic !== undefined) void this.#fanOut(topic)
      return
    }
    this.#busy = true
    this.#again = false
    void this.#carrier
      .write(progress, () => this.#carrier.now() < this.#claimUntilMs && !this.#left)
      .then((written) => {
        this.#busy = false
        if (!written || this.#left) {
          for (const { slot } of starts) slot?.free()
          this.#leave('fenced')
          return
        }
        if (leaves) {
          this.#leave(isFinal(this.#status) ? 'ended' : 'waiting')
          return
        }
        this.#call(starts)
        // Something may have ended while this was written, and then there is more to decide.
        if (this.#again || this.#behind.size > 0 || topic !== undefined) this.step()
        else this.#wakeAt(wakeAtMs)
      })
  }

  #call(starts: readonly Start[]): void {
    for (const { slot, ...start } of starts) {
      const { op } = start
      const key = opKey(op)
      this.#underWay.add(key)
      void this.#carrier.call({ row: this.#row, ...start }).then((call) => {
        slot?.free(call === undefined ? undefined : resultOf(call))
        this.#underWay.delete(key)
        if (call !== undefined && !this.#left) this.#ended(key, op, call)
      })
    }
  }

  #ended(key: string, op: Op, call: EndedCall): void {
    const { work, note, refusedDecision } = ended(
      this.#work,
      key,
      call,
      this.#carrier.now(),
      randomIn(this.#row, this.#carrier),
    )
    this.#work = work
    if (note !== undefined) this.#behind.set(key, note)
    if (call.outcome.kind === 'retry' || refusedDecision) this.#carrier.onTrouble(this.#row, op, call, refusedDecision)
    this.step()
  }

  async #fanOut({ branch, topic }: { readonly branch: string; readonly topic: string }): Promise<void> {
    this.#busy = true
    const now = this.#carrier.now()
    const row = await this.#carrier.fanOut(this.#row, branch, topic)
    this.#busy = false
    if (this.#left) return
    const op = this.#work.ops.find((one) => one.branch === branch && one.op === 'action')
    if (row !== undefined) {
      this.#row = row
      this.#work = { ...this.#load(), transaction: this.#work.transaction }
      this.step()
    } else if (op !== undefined) {
      const outcome = { kind: 'retry', error: `there is no topic ${topic}` } as const
      this.#ended(opKey(op), op, { outcome, isAway: false, durationMs: this.#carrier.now() - now })
    }
  }

  #wakeAt(atMs: number | undefined): void {
    if (atMs === undefined || !Number.isFinite(atMs)) return
    const inMs = Math.min(TIMER_MAX_MS, Math.max(1, atMs - this.#carrier.now()))
    this.#timer = setTimeout(() => this.step(), inMs)
    this.#timer.unref()
  }

  #leave(how: 'ended' | 'waiting' | 'fenced' | 'stopped'): void {
    if (this.#left) return
    this.#left = true
    clearTimeout(this.#timer)
    this.#carrier.onLeft(this, how)
  }
}
