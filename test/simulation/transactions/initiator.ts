import type { TransactionMode } from 'postcommit/protocol'
import type { Decision } from '../../../relay/engine/transaction/event.ts'
import type { LocalTransaction } from './local-transaction.ts'
import type { Network, Said } from './network.ts'
import { freshOps, freshRows } from './rows.ts'
import type { Scenario, SimulatedStep } from './scenario.ts'
import type { Store } from './store.ts'

/** What an initiator was told about its submit. */
export interface Told {
  readonly digest: string
  readonly answer: Decision['kind']
}

/** Who begins a transaction, one step at a time; whatever it has not done when it is killed is never done. */
export interface Initiator {
  step(choice: number): void
  hear(said: Said): void
  readonly told: readonly Told[]
}

const MINE = 'mine'

/** Sends a two-phase message: prepare, local transaction, submit. */
export class Sender implements Initiator {
  readonly told: Told[] = []
  readonly #scenario: Scenario
  readonly #store: Store
  readonly #local: LocalTransaction
  #at: 'prepare' | 'begin' | 'end' | 'tell' | 'over' = 'prepare'

  constructor(scenario: Scenario, store: Store, local: LocalTransaction) {
    this.#scenario = scenario
    this.#store = store
    this.#local = local
  }

  step(): void {
    switch (this.#at) {
      case 'prepare': {
        const fresh = freshRows(this.#scenario, MINE, 'prepared', this.#store.nowMs)
        const { kind } = this.#store.request({ kind: 'prepare', mode: 'msg', digest: MINE }, fresh)
        this.#at = kind === 'ok' || kind === 'duplicate' ? 'begin' : 'over'
        break
      }
      case 'begin':
        this.#at = this.#local.begin() ? 'end' : 'over'
        break
      case 'end':
        this.#local.end(this.#scenario.commits)
        this.#at = 'tell'
        break
      case 'tell':
        if (this.#local.state === 'committed') this.told.push(submit(this.#scenario, this.#store, 'msg', MINE))
        else this.#store.request({ kind: 'abort', reason: 'rolled back' })
        // Told again now and then: the answer may have been lost.
        this.#at = this.told.length === 1 ? 'tell' : 'over'
        break
      case 'over':
        break
    }
  }

  hear(): void {}
}

/** Submits a saga that the relay runs; somebody else submits another under the same gid. */
export class Submitter implements Initiator {
  readonly told: Told[] = []
  readonly #scenario: Scenario
  readonly #store: Store

  constructor(scenario: Scenario, store: Store) {
    this.#scenario = scenario
    this.#store = store
  }

  step(choice: number): void {
    if (this.told.length > 2) return
    this.told.push(submit(this.#scenario, this.#store, 'saga', (choice & 7) === 7 ? 'of somebody else' : MINE))
  }

  hear(): void {}
}

/** Calls the branches itself: live sagas, TCC, XA. Registers each branch before it is called, with the ends it knows. */
export class BranchCaller implements Initiator {
  readonly told: Told[] = []
  readonly #scenario: Scenario
  readonly #store: Store
  readonly #network: Network
  readonly #mode: TransactionMode
  readonly #onStart: (branch: string) => void
  readonly #onEnd: (branch: string) => void
  readonly #answer: (said: Said) => void
  readonly #registered = new Set<string>()
  readonly #called = new Set<string>()
  readonly #ended = new Map<string, 'done' | 'failure'>()
  #isPrepared = false
  #isOver = false

  constructor(
    scenario: Scenario,
    store: Store,
    network: Network,
    onStart: (branch: string) => void,
    onEnd: (branch: string) => void,
    answer: (said: Said) => void,
  ) {
    this.#scenario = scenario
    this.#store = store
    this.#network = network
    this.#mode = scenario.kind === 'live-saga' ? 'saga' : scenario.kind
    this.#onStart = onStart
    this.#onEnd = onEnd
    this.#answer = answer
  }

  step(choice: number): void {
    if (this.#isOver) return
    const { steps, commits } = this.#scenario
    const isDone = steps.every(({ branch }) => this.#ended.get(branch) === 'done')
    const isLost = [...this.#ended.values()].includes('failure') || (isDone && !commits)
    if (!this.#isPrepared) this.#prepare()
    else if (isLost) this.#abort()
    else if (isDone) this.#submit()
    else this.#goOn(choice)
  }

  hear(said: Said): void {
    if (said.kind !== 'result' || this.#ended.has(said.branch)) return
    if (said.outcome.kind === 'done' || said.outcome.kind === 'failure') {
      this.#ended.set(said.branch, said.outcome.kind)
      this.#onEnd(said.branch)
    }
  }

  #prepare(): void {
    const fresh = freshRows(this.#scenario, MINE, 'prepared', this.#store.nowMs)
    const { kind } = this.#store.request({ kind: 'prepare', mode: this.#mode, digest: MINE }, fresh)
    this.#isPrepared = kind === 'ok'
  }

  #abort(): void {
    this.#store.end(this.#ended)
    this.#store.request({ kind: 'abort', reason: 'a branch failed' })
    this.#isOver = true
  }

  #submit(): void {
    this.told.push(submit(this.#scenario, this.#store, this.#mode, MINE))
    this.#isOver = this.told.length > 1
  }

  #goOn(choice: number): void {
    const ready = this.#scenario.steps.filter((step) => !this.#registered.has(step.branch) && this.#isReady(step))
    const registered = ready[choice % Math.max(1, ready.length)]
    const uncalled = [...this.#registered].filter((branch) => !this.#called.has(branch) && !this.#ended.has(branch))
    const unanswered = [...this.#called].filter((branch) => !this.#ended.has(branch))
    const call =
      uncalled[0] ?? ((choice & 0x40) === 0 ? unanswered[choice % Math.max(1, unanswered.length)] : undefined)
    if (registered !== undefined && uncalled.length === 0) this.#register(registered)
    else if (call !== undefined) this.#call(call)
    else if ((choice & 0x300) === 0x300) this.#abort()
  }

  #isReady({ after, parent }: SimulatedStep): boolean {
    if (parent !== undefined && !this.#registered.has(parent)) return false
    return after.every((branch) => this.#ended.get(branch) === 'done')
  }

  #register(step: SimulatedStep): void {
    const { kind } = this.#store.register(freshOps(this.#scenario, step), this.#ended)
    if (kind !== 'ok') {
      this.#abort()
      return
    }
    this.#registered.add(step.branch)
    this.#onStart(step.branch)
  }

  #call(branch: string): void {
    this.#called.add(branch)
    const op = this.#mode === 'tcc' ? 'try' : 'action'
    if (this.#network.requests.length < 12) {
      const what = { kind: 'call', branch, op, payload: MINE } as const
      this.#network.requests.push({ what, answer: this.#answer })
    }
  }
}

function submit(scenario: Scenario, store: Store, mode: TransactionMode, digest: string): Told {
  const fresh = freshRows(scenario, digest, 'submitted', store.nowMs)
  return { digest, answer: store.request({ kind: 'submit', mode, digest }, fresh).kind }
}
