import type { BranchOp, TransactionStatus } from 'postcommit/protocol'
import { decide } from '../../../relay/engine/transaction/decide.ts'
import type { Decision, TransactionEvent } from '../../../relay/engine/transaction/event.ts'
import type { Op } from '../../../relay/engine/transaction/op.ts'
import { isFinal } from '../../../relay/engine/transaction/transaction.ts'
import type { Transition } from '../../../relay/engine/transaction/transition.ts'
import { mayTurnBack } from '../../../relay/engine/transaction/turning-back.ts'
import { type Answer, type SimulatedDatabase, texts } from '../world/simulated-pool.ts'
import type { VirtualTime } from '../world/virtual-time.ts'
import {
  inStatus,
  joinedRows,
  progressIn,
  type Rows,
  SERVICE,
  type StoredOutcome,
  type StoredProgress,
  withOutcome,
} from './stored-rows.ts'

/** What became of branches that an initiator has called. */
export type Ended = ReadonlyMap<string, 'done' | 'failure'>

const NOTHING: Answer = { rowCount: 0 }
const RUNNING: readonly TransactionStatus[] = ['submitted', 'aborting']
/** What the clock of the database is ahead of everybody's. */
const AHEAD_MS = 1_700_000_000_000

/**
 * The relay's database with one transaction in it: every statement is atomic and fenced as the shipped one is. Times are
 * the database's own. What initiators and operators ask for is decided by the engine's table.
 */
export class Store implements SimulatedDatabase {
  rows: Rows | undefined
  /** When a relay may claim the transaction; Infinity: not before somebody says so. */
  dueAtMs = Number.POSITIVE_INFINITY
  checks = 0
  backoffMs: number | undefined
  /** Told of what is written about ops. */
  onProgress: (ops: readonly StoredOutcome[]) => void = () => undefined
  #token: string | undefined
  #seq = 0
  readonly #time: VirtualTime

  constructor(time: VirtualTime) {
    this.#time = time
  }

  get nowMs(): number {
    return AHEAD_MS + this.#time.nowMs
  }

  get status(): TransactionStatus | 'none' {
    return this.rows?.transaction.status ?? 'none'
  }

  get isOpen(): boolean {
    return this.rows !== undefined && !isFinal(this.rows.transaction.status)
  }

  /** A request of an initiator or an operator. `fresh` is what it would create, or has sent along. */
  request(event: TransactionEvent, fresh?: Rows): Decision {
    const { rows } = this
    const decision = decide(
      event,
      rows === undefined
        ? { status: 'none', ...runByOf(fresh) }
        : { ...rows.transaction, mayTurnBack: mayTurnBack(rows.ops) },
    )
    if (decision.kind !== 'ok') return decision
    if (decision.transition?.from === 'none' && fresh !== undefined) this.rows = fresh
    if (event.kind === 'submit' && fresh !== undefined && this.rows !== undefined) this.rows.payload = fresh.payload
    if (decision.transition !== undefined) this.#move(decision.transition)
    if (decision.effect === 'mark-actions-done') this.#markActionsDone()
    if (decision.effect === 'pause' || decision.effect === 'resume') this.#pause(decision.effect === 'pause')
    return decision
  }

  /** Adds a branch before it is called, with the ends that its initiator has seen by now. */
  register(ops: readonly Op[], ended: Ended): Decision {
    const decision = this.request({ kind: 'register' })
    if (decision.kind !== 'ok' || this.rows === undefined) return decision
    this.end(ended)
    const [first] = ops
    if (first === undefined || this.rows.ops.some(({ branch }) => branch === first.branch)) return decision
    this.#seq += 1
    this.rows.ops.push(...ops.map((op) => (op.op === 'compensate' ? op : { ...op, startSeq: this.#seq })))
    return decision
  }

  /** Writes which branches an initiator has seen end: what is begun from now on follows from them. */
  end(ended: Ended): void {
    if (this.rows?.transaction.status !== 'prepared') return
    for (const branch of ended.keys()) {
      this.#seq += 1
      const endSeq = this.#seq
      this.rows.ops = this.rows.ops.map((op) => {
        const isOpen = op.branch === branch && op.startSeq !== undefined && op.endSeq === undefined
        return isOpen ? { ...op, endSeq } : op
      })
    }
  }

  /** What `postcommit.global_transaction` and `postcommit.branch` answer to the statements of the loops. */
  readonly statements: SimulatedDatabase['statements'] = {
    postcommit_select_clock: () => ({ rows: [{ nowMs: this.nowMs }] }),
    postcommit_claim_transactions: ([, token, leaseMs]) => this.#claim(RUNNING, String(token), Number(leaseMs)),
    postcommit_claim_checks: ([, token, leaseMs, destinations]) =>
      texts(destinations).includes(this.#asks) ? this.#claim(['prepared'], String(token), Number(leaseMs)) : NOTHING,
    postcommit_select_next_transaction_due: () => ({ rows: this.#due(RUNNING).map((ms) => ({ ms })) }),
    postcommit_select_check_destinations: () => ({
      rows: this.#due(['prepared']).map((dueInMs) => ({ destination: this.#asks, dueInMs, isOut: false })),
    }),
    postcommit_record_progress: ([, , ...values]) => this.#record(progressIn(values)),
    postcommit_release_transactions: ([, tokens]) => {
      if (this.#token === undefined || !texts(tokens).includes(this.#token)) return NOTHING
      this.#token = undefined
      this.dueAtMs = this.nowMs
      return { rowCount: 1 }
    },
    // Nothing here has a key that another one could wait for.
    postcommit_expedite_followers_of: () => NOTHING,
    postcommit_record_outage: () => NOTHING,
    postcommit_end_outage: () => NOTHING,
  }

  save(): () => void {
    throw new Error('no transaction of several statements belongs to this history')
  }

  /** Takes a claim away from its relay, as a burial does; the relay is not told. */
  bury(): void {
    if (this.#token === undefined) return
    this.#token = undefined
    this.dueAtMs = this.nowMs
  }

  /** Who is asked about it while it is prepared; empty: a deadline decides. */
  get #asks(): string {
    return this.rows?.transaction.mode === 'msg' ? SERVICE : ''
  }

  #due(statuses: readonly TransactionStatus[]): number[] {
    const isDue = this.rows !== undefined && statuses.includes(this.rows.transaction.status)
    return isDue && Number.isFinite(this.dueAtMs) ? [this.dueAtMs - this.nowMs] : []
  }

  #claim(statuses: readonly TransactionStatus[], token: string, leaseMs: number): Answer {
    const [dueInMs] = this.#due(statuses)
    if (dueInMs === undefined || dueInMs > 0 || this.rows === undefined) return { rows: [{ id: null }] }
    this.#token = token
    this.dueAtMs = this.nowMs + leaseMs
    return {
      rows: joinedRows(this.rows, {
        seq: this.#seq,
        asked: this.checks,
        backoffMs: this.backoffMs,
        nowMs: this.nowMs,
      }),
    }
  }

  #record(progress: StoredProgress): Answer {
    const { rows } = this
    if (rows === undefined || progress.token !== this.#token) return NOTHING
    if (progress.from !== rows.transaction.status || progress.opCount !== rows.ops.length) return NOTHING
    this.#seq = progress.seq
    this.checks = progress.asked
    this.backoffMs = progress.backoffMs
    rows.transaction = inStatus(rows.transaction, progress.to)
    this.dueAtMs = progress.dueAtMs ?? this.dueAtMs
    if (progress.dueAtMs !== undefined || isFinal(progress.to)) this.#token = undefined
    for (const outcome of progress.ops) {
      this.#change(outcome.branch, outcome.op, (op) => (op.status === 'prepared' ? withOutcome(op, outcome) : op))
    }
    this.onProgress(progress.ops)
    return { rows: [{ id: '1' }] }
  }

  #move({ from, to }: Transition): void {
    const { rows } = this
    if (rows === undefined || (from !== 'none' && from !== rows.transaction.status)) return
    rows.transaction = inStatus(rows.transaction, to)
    this.#token = undefined
    if (from === 'none') this.dueAtMs = to === 'submitted' ? this.nowMs : rows.transaction.dueAtMs
    else if (to === 'submitted' && rows.transaction.paused === true) this.dueAtMs = Number.POSITIVE_INFINITY
    else this.#pause(false)
  }

  #pause(paused: boolean): void {
    if (this.rows === undefined) return
    this.rows.transaction = { ...this.rows.transaction, paused }
    this.#token = undefined
    this.dueAtMs = paused ? Number.POSITIVE_INFINITY : this.nowMs
  }

  #markActionsDone(): void {
    if (this.rows === undefined) return
    this.rows.ops = this.rows.ops.map((op) => (op.op === 'action' ? { ...op, status: 'succeed' } : op))
  }

  #change(branch: string, name: BranchOp, change: (op: Op) => Op): Op {
    const ops = this.rows?.ops ?? []
    const index = ops.findIndex((one) => one.branch === branch && one.op === name)
    const found = ops[index]
    if (found === undefined) throw new Error(`there is no op ${branch} ${name}`)
    const changed = change(found)
    ops[index] = changed
    return changed
  }
}

function runByOf(fresh: Rows | undefined): { runBy?: 'relay' | 'client' } {
  return fresh?.transaction.mode === 'saga' ? { runBy: fresh.transaction.runBy } : {}
}
