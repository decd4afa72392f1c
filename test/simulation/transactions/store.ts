import type { BranchOp, TransactionStatus } from 'postcommit/protocol'
import type { Decision, TransactionEvent } from '../../../relay/engine/transaction/event.ts'
import type { Op } from '../../../relay/engine/transaction/op.ts'
import type { CallOutcome } from '../../../relay/engine/transaction/record-outcome.ts'
import type { CheckOutcome } from '../../../relay/engine/transaction/record-verdict.ts'
import { isFinal, type Transaction } from '../../../relay/engine/transaction/transaction.ts'
import type { Transition } from '../../../relay/engine/transaction/transition.ts'
import { mayTurnBack } from '../../../relay/engine/transaction/turning-back.ts'
import type { Engine } from './engine.ts'

const LEASE_MS = 30
const CALL_MS = 12

/** What became of branches that an initiator has called. */
export type Ended = ReadonlyMap<string, 'done' | 'failure'>

/** The rows of one transaction. */
export interface Rows {
  transaction: Transaction
  ops: Op[]
  payload: string
}

/**
 * The relay's database: every method is one statement, atomic and fenced. Times are the database's own. What decides is
 * the engine; what is modelled here is what a statement has to check when it writes a decision.
 */
export class Store {
  rows: Rows | undefined
  nowMs = 0
  /** When any relay may claim the transaction; written by whoever releases it. */
  nextAtMs: number | undefined = 0
  token = 0
  leaseUntilMs = Number.NEGATIVE_INFINITY
  /** Rises with every write that a plan may not have seen. */
  version = 0
  checks = 0
  #seq = 0
  readonly #engine: Engine

  constructor(engine: Engine) {
    this.#engine = engine
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
    const decision = this.#engine.decide(
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

  /** Writes what an initiator has seen of its branches. A workflow keeps the results; the others only the order. */
  end(ended: Ended): void {
    if (this.rows?.transaction.status !== 'prepared') return
    const keeps = this.rows.transaction.mode === 'workflow'
    for (const [branch, outcome] of ended) {
      this.#seq += 1
      const endSeq = this.#seq
      const status = outcome === 'done' ? 'succeed' : 'failed'
      this.rows.ops = this.rows.ops.map((op) => {
        if (op.branch !== branch || op.startSeq === undefined || op.endSeq !== undefined) return op
        return keeps ? { ...op, endSeq, status } : { ...op, endSeq }
      })
    }
  }

  /** Writes that a worker is about to call a branch; false if it is too late for that. */
  beginCall(branch: string): boolean {
    if (this.rows?.transaction.status !== 'prepared') return false
    this.#change(branch, 'action', (op) => ({ ...op, calls: op.calls + 1 }))
    return true
  }

  claim(): number | undefined {
    if (!this.isOpen || this.nextAtMs === undefined || this.nextAtMs > this.nowMs) return undefined
    if (this.leaseUntilMs > this.nowMs) return undefined
    this.token += 1
    this.leaseUntilMs = this.nowMs + LEASE_MS
    return this.token
  }

  renew(token: number): boolean {
    if (token !== this.token || !this.isOpen) return false
    this.leaseUntilMs = this.nowMs + LEASE_MS
    return true
  }

  /** Gives the transaction back, unless it has changed since it was planned: the plan's time to wake is void then. */
  release(token: number, version: number, wakeAtMs: number | undefined): boolean {
    if (token !== this.token || version !== this.version) return false
    this.nextAtMs = wakeAtMs
    this.leaseUntilMs = Number.NEGATIVE_INFINITY
    return true
  }

  transit(token: number, transition: Transition): void {
    if (token === this.token) this.#move(transition)
  }

  /** Writes that ops are about to be called, and the numbers of those that start; all of them or none. */
  start(token: number, status: TransactionStatus, ops: readonly Op[]): readonly Op[] {
    if (token !== this.token || this.rows?.transaction.status !== status) return []
    return ops.map(({ branch, op }) => this.#change(branch, op, (found) => this.#started(found)))
  }

  /** Writes what became of a call and what that makes of the transaction, in one statement. */
  record(token: number, branch: string, name: BranchOp, outcome: CallOutcome, random: number): void {
    const { rows } = this
    const op = rows?.ops.find((one) => one.branch === branch && one.op === name)
    if (token !== this.token || rows === undefined || op === undefined) return
    const change = this.#engine.recordOutcome(rows.transaction, op, outcome, this.nowMs, random)
    if (change.status === 'unchanged') return
    this.#change(branch, name, ({ leaseUntilMs: _, ...rest }) => {
      if (change.status === 'prepared') return { ...rest, attempts: change.attempts, dueAtMs: change.dueAtMs }
      this.#seq += 1
      return change.takesEndSeq
        ? { ...rest, status: change.status, endSeq: this.#seq }
        : { ...rest, status: change.status }
    })
    this.version += 1
    this.nextAtMs = this.nowMs
    const { transition } = this.#engine.plan(rows.transaction, rows.ops, this.nowMs)
    if (transition !== undefined) this.#move(transition)
  }

  /** Writes that a message is being asked about or a workflow resumed, so that nobody else does it meanwhile. */
  startAsking(token: number): boolean {
    const transaction = this.rows?.transaction
    if (token !== this.token || this.rows === undefined || transaction?.status !== 'prepared') return false
    this.rows.transaction = { ...transaction, dueAtMs: this.nowMs + CALL_MS }
    return true
  }

  recordVerdict(token: number, outcome: CheckOutcome, random: number): void {
    const transaction = this.rows?.transaction
    if (token !== this.token || transaction?.mode !== 'msg' || this.rows === undefined) return
    const change = this.#engine.recordVerdict(transaction, outcome, this.checks, this.nowMs, random)
    if (change.kind === 'decided') this.#move(change.transition)
    if (change.kind !== 'undecided') return
    this.checks = change.checks
    this.rows.transaction = { ...transaction, dueAtMs: change.dueAtMs }
    this.nextAtMs = this.nowMs
    this.version += 1
  }

  #move(transition: Transition): void {
    const { rows } = this
    if (rows === undefined) return
    const { transaction } = rows
    if (transition.from !== 'none' && transition.from !== transaction.status) return
    // The union forgets which statuses go with which mode; a message is never given up by way of aborting.
    if (transaction.mode === 'msg') {
      if (transition.to === 'aborting') throw new Error('a message cannot be compensated')
      rows.transaction = { ...transaction, status: transition.to }
    } else {
      rows.transaction = { ...transaction, status: transition.to }
    }
    this.nextAtMs = this.nowMs
    this.version += 1
  }

  #pause(paused: boolean): void {
    if (this.rows === undefined) return
    this.rows.transaction = { ...this.rows.transaction, paused }
    this.nextAtMs = this.nowMs
    this.version += 1
  }

  #markActionsDone(): void {
    if (this.rows === undefined) return
    this.rows.ops = this.rows.ops.map((op) => (op.op === 'action' ? { ...op, status: 'succeed' } : op))
  }

  #started(op: Op): Op {
    const called = { ...op, calls: op.calls + 1, leaseUntilMs: this.nowMs + CALL_MS }
    if (op.op !== 'action' || op.startSeq !== undefined) return called
    this.#seq += 1
    return { ...called, startSeq: this.#seq }
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
