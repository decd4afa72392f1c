import type { TransactionStatus } from 'postcommit/protocol'
import type { Plan } from '../../../relay/engine/transaction/plan.ts'
import type { Engine } from './engine.ts'
import type { Network, Reply, Request } from './network.ts'
import type { Store } from './store.ts'

interface Intention {
  readonly plan: Plan
  readonly version: number
  readonly status: TransactionStatus
}

/**
 * A relay, one step at a time: claim, read and plan, write, send, record. It can be killed between any two of them, and
 * one that is slow goes on with a claim that has long been taken from it.
 */
export class SimulatedRelay {
  readonly #number: number
  readonly #engine: Engine
  readonly #store: Store
  readonly #network: Network
  readonly #onStart: (branch: string) => void
  #token: number | undefined
  #intention: Intention | undefined
  #unsent: Request[] = []

  constructor(number: number, engine: Engine, store: Store, network: Network, onStart: (branch: string) => void) {
    this.#number = number
    this.#engine = engine
    this.#store = store
    this.#network = network
    this.#onStart = onStart
  }

  /** What it knew is gone; what it sent is on its way. */
  crash(): void {
    this.#token = undefined
    this.#intention = undefined
    this.#unsent = []
  }

  step(holds: boolean): void {
    const unsent = this.#unsent.shift()
    if (unsent !== undefined) {
      this.#network.requests.push(unsent)
    } else if (this.#token === undefined) {
      this.#token = this.#store.claim()
    } else if (this.#intention === undefined) {
      this.#readAndPlan(this.#token)
    } else {
      this.#carryOut(this.#token, this.#intention, holds)
      this.#intention = undefined
    }
  }

  hear(reply: Reply, random: number): void {
    const { token } = reply.to
    if (reply.kind === 'verdict') this.#store.recordVerdict(token, reply.outcome, random)
    else this.#store.record(token, reply.branch, reply.op, reply.outcome, random)
  }

  #readAndPlan(token: number): void {
    const { rows, version, nowMs } = this.#store
    if (rows === undefined || !this.#store.renew(token)) {
      this.crash()
      return
    }
    const plan = this.#engine.plan(rows.transaction, rows.ops, nowMs)
    this.#intention = { plan, version, status: rows.transaction.status }
  }

  #carryOut(token: number, { plan, version, status }: Intention, holds: boolean): void {
    const store = this.#store
    if (plan.transition !== undefined) {
      store.transit(token, plan.transition)
      return
    }
    const from = { relay: this.#number, token }
    const calls = plan.run.flatMap((run) => (run.kind === 'call' ? [run.op] : []))
    for (const { branch, op } of store.start(token, status, calls)) {
      if (op === 'action') this.#onStart(branch)
      this.#unsent.push({ kind: 'call', from, branch, op, payload: store.rows?.payload ?? '' })
    }
    for (const { kind } of plan.run) {
      if (kind !== 'call' && store.startAsking(token)) this.#unsent.push({ kind, from })
    }
    if (plan.run.length > 0 || holds) return
    if (store.release(token, version, plan.wakeAtMs)) this.#token = undefined
  }
}
