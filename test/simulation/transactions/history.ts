import type { BranchOp } from 'postcommit/protocol'
import { Branches, type Mood } from './branches.ts'
import type { Engine } from './engine.ts'
import { BranchCaller, type Initiator, Sender, Submitter } from './initiator.ts'
import { type Violation, whatIsWrongInTheEnd, whatIsWrongNow } from './invariants.ts'
import { LocalTransaction } from './local-transaction.ts'
import { Network, type Request } from './network.ts'
import type { Scenario } from './scenario.ts'
import { SimulatedRelay } from './simulated-relay.ts'
import { Store } from './store.ts'

const CALM_ROUNDS_MAX = 400
const MOODS: readonly Mood[] = ['good', 'good', 'good', 'good', 'failure', 'error', 'ongoing', 'good']

/** One history: a storm in which anything can happen between any two steps, then calm, in which it has to end. */
export class History {
  readonly store: Store
  readonly branches: Branches
  readonly #scenario: Scenario
  readonly #network = new Network()
  readonly #local = new LocalTransaction()
  readonly #relays: readonly [SimulatedRelay, SimulatedRelay]
  readonly #initiator: Initiator
  readonly #startedAt = new Map<string, number>()
  readonly #endedAt = new Map<string, number>()
  #isInitiatorAlive = true
  #clock = 0
  #violation: Violation | undefined

  constructor(scenario: Scenario, engine: Engine, store = new Store(engine)) {
    this.#scenario = scenario
    this.store = store
    this.branches = new Branches(scenario.steps, (branch, op) => this.#watchEffect(branch, op))
    const onStart = (branch: string) => this.#note(this.#startedAt, branch)
    this.#relays = [
      new SimulatedRelay(0, engine, this.store, this.#network, onStart),
      new SimulatedRelay(1, engine, this.store, this.#network, onStart),
    ]
    this.#initiator = this.#begin(onStart)
  }

  /** Runs it to its end; the first promise that was broken, if any was. */
  run(): Violation | undefined {
    for (const choice of this.#scenario.storm) {
      this.#clock += 1
      this.#blow(choice)
      this.#violation ??= whatIsWrongNow(this.#scenario, this.store, this.branches)
      if (this.#violation !== undefined) return this.#violation
    }
    this.#calmDown()
    return (
      this.#violation ??
      whatIsWrongInTheEnd(this.#scenario, this.store, this.branches, this.#local, this.#initiator.told)
    )
  }

  #begin(onStart: (branch: string) => void): Initiator {
    const scenario = this.#scenario
    if (scenario.kind === 'msg') return new Sender(scenario, this.store, this.#local)
    if (scenario.kind === 'saga') return new Submitter(scenario, this.store)
    return new BranchCaller(scenario, this.store, this.#network, onStart, (branch) => this.#note(this.#endedAt, branch))
  }

  /** One event of the storm: the low bits say what, the rest to whom and how it ends. */
  #blow(choice: number): void {
    const rest = choice >> 5
    switch (choice & 31) {
      case 0:
        this.#relays[rest & 1 ? 1 : 0].crash()
        break
      case 1:
        this.#crashInitiator(rest)
        break
      case 2:
        this.#network.takeRequest(rest)
        break
      case 3:
        this.#network.takeReply(rest)
        break
      case 4:
        // A Failure that is not compensated is for services that are called over connections, not over anything that doubles.
        if (this.#scenario.kind !== 'workflow' || !this.#scenario.strictOrder) this.#network.doubleRequest(rest)
        break
      case 5:
      case 6:
        this.store.nowMs += 1 + (rest & 31)
        break
      case 7:
        this.#operate(rest)
        break
      default:
        this.#goOn(choice & 31, rest)
    }
  }

  #goOn(kind: number, rest: number): void {
    if (kind < 16) this.#relays[rest & 1 ? 1 : 0].step((rest & 2) === 2)
    else if (kind < 20) this.#stepInitiator(rest)
    else if (kind < 26) this.#deliver(this.#network.takeRequest(rest >> 3), MOODS[rest & 7] ?? 'good')
    else this.#hear(rest)
  }

  #crashInitiator(rest: number): void {
    if ((rest & 3) !== 0) return
    this.#isInitiatorAlive = false
    // A session that is gone has rolled back.
    this.#local.end(false)
  }

  #resume(): void {
    if (this.#isInitiatorAlive) return
    this.#isInitiatorAlive = true
    this.#initiator.resume()
    // What was known and not written is not known any more: nothing that is begun from now on follows from it.
    for (const { branch, op, endSeq } of this.store.rows?.ops ?? []) {
      if (op === 'action' && endSeq === undefined) this.#endedAt.delete(branch)
    }
  }

  #stepInitiator(choice: number): void {
    if (this.#isInitiatorAlive) this.#initiator.step(choice)
  }

  #operate(rest: number): void {
    const acts = ['pause', 'resume', 'abort', 'retry-now'] as const
    const act = acts[rest & 3] ?? 'resume'
    // A person that aborts a prepared message overrules its sender; that the two then differ is what was asked for.
    if (act === 'abort' && this.#scenario.kind === 'msg') return
    this.store.request({ kind: 'operator', act, reason: 'somebody' })
  }

  #deliver(request: Request | undefined, mood: Mood): void {
    if (request === undefined) return
    if (request.kind === 'resume') {
      this.#resume()
      return
    }
    if (request.kind === 'call') {
      const { from, branch, op, payload } = request
      this.#network.replies.push({
        kind: 'result',
        to: from,
        branch,
        op,
        outcome: this.branches.handle(branch, op, payload, mood),
      })
    } else {
      const isUnclear = mood === 'error' || mood === 'failure'
      const outcome = isUnclear ? (mood === 'error' ? 'unreachable' : 'unknown') : this.#local.ask()
      this.#network.replies.push({ kind: 'verdict', to: request.from, outcome })
    }
  }

  #hear(choice: number): void {
    const reply = this.#network.takeReply(choice)
    if (reply === undefined) return
    if (reply.to.relay === 'initiator') {
      if (this.#isInitiatorAlive) this.#initiator.hear(reply)
      return
    }
    this.#relays[reply.to.relay === 1 ? 1 : 0].hear(reply, (choice & 15) / 16)
    const ended = this.store.rows?.ops.filter(({ endSeq }) => endSeq !== undefined) ?? []
    if (this.#scenario.kind === 'saga') for (const { branch } of ended) this.#note(this.#endedAt, branch)
  }

  #calmDown(): void {
    const leftOver = this.#scenario.lateArrivals ? this.#network.requests.splice(0) : []
    this.store.request({ kind: 'operator', act: 'resume', reason: 'the storm is over' })
    for (let round = 0; round < CALM_ROUNDS_MAX && (round < 12 || this.store.isOpen); round += 1) {
      this.#clock += 1
      this.#stepInitiator(round & 7 ? round << 6 : 0)
      for (const relay of this.#relays) relay.step(false)
      const request = this.#network.takeRequest(0)
      this.#deliver(request, this.#calmMood(request))
      this.#clock += 1
      while (this.#network.replies.length > 0) this.#hear(0)
      this.#violation ??= whatIsWrongNow(this.#scenario, this.store, this.branches)
      if (this.#violation !== undefined) return
      this.store.nowMs += this.#network.requests.length > 0 ? 0 : 2
    }
    for (const request of leftOver) this.#deliver(request, 'good')
    while (this.#network.replies.length > 0) this.#hear(0)
  }

  #calmMood(request: Request | undefined): Mood {
    const { failing, steps } = this.#scenario
    const step = failing === undefined ? undefined : steps[failing]
    const isForward = request?.kind === 'call' && (request.op === 'action' || request.op === 'try')
    const fails = isForward && request.branch === step?.branch && step.recovery !== 'forward'
    return fails && this.#scenario.kind !== 'msg' ? 'failure' : 'good'
  }

  #note(times: Map<string, number>, branch: string): void {
    if (!times.has(branch)) times.set(branch, this.#clock)
  }

  #watchEffect(branch: string, op: BranchOp): void {
    if (this.store.rows !== undefined && !this.store.isOpen) {
      this.#violation ??= { invariant: 'I4', what: `${op} of ${branch} took effect when all was ${this.store.status}` }
    }
    const isUndo = op === 'compensate' || op === 'cancel' || op === 'rollback'
    if (!isUndo) return
    const later = this.#scenario.steps.find(
      (step) => this.#isAfter(step.branch, branch) && !this.#isUndone(step.branch, op),
    )
    if (later !== undefined) {
      this.#violation ??= { invariant: 'I3', what: `${branch} was undone before ${later.branch}` }
    }
  }

  /** Whether one branch was begun when another was known to have ended, or inside of it. */
  #isAfter(later: string, earlier: string): boolean {
    const { kind, strictOrder } = this.#scenario
    const startedAt = this.#startedAt.get(later)
    if (startedAt === undefined || later === earlier) return false
    if (later.startsWith(`${earlier}.`)) return true
    if (kind === 'xa' || (kind === 'tcc' && !strictOrder)) return false
    const endedAt = this.#endedAt.get(earlier)
    return endedAt !== undefined && endedAt < startedAt
  }

  #isUndone(branch: string, op: BranchOp): boolean {
    // What need not be undone is not waited for: a pivot that failed, or a step of a workflow, has left nothing behind.
    const step = this.#scenario.steps.find((one) => one.branch === branch)
    const action = this.store.rows?.ops.find((one) => one.branch === branch && one.op === 'action')
    const isLeft = this.#scenario.kind === 'workflow' && action?.status === 'failed'
    return isLeft || step?.recovery !== 'undo' || this.branches.rows.has(`${branch} ${op}`)
  }
}
