import type { BranchOp } from 'postcommit/protocol'
import { Turnstile } from '../world/simulated-pool.ts'
import { CLAIM_MS, SimulatedRelay } from '../world/simulated-relay.ts'
import { VirtualTime } from '../world/virtual-time.ts'
import { Branches, type Mood } from './branches.ts'
import { BranchCaller, type Initiator, Sender, Submitter } from './initiator.ts'
import { type Violation, whatIsWrongInTheEnd, whatIsWrongNow } from './invariants.ts'
import { LocalTransaction } from './local-transaction.ts'
import { Network, type Request, type Said } from './network.ts'
import type { Scenario } from './scenario.ts'
import { serviceOver } from './simulated-service.ts'
import { Store } from './store.ts'
import type { StoredOutcome } from './stored-rows.ts'

const CALM_ROUNDS_MAX = 600
const CALM_STEP_MS = 3000
const MOODS: readonly Mood[] = ['good', 'good', 'good', 'good', 'failure', 'error', 'ongoing', 'good']

/**
 * One history: a storm in which anything can happen between any two steps, then calm, in which it has to end. What runs
 * the transaction are the loops that ship, of two relays; what is made up is their surroundings.
 */
export class History {
  readonly store: Store
  readonly branches: Branches
  readonly #scenario: Scenario
  readonly #time: VirtualTime
  readonly #network = new Network()
  readonly #local = new LocalTransaction()
  readonly #initiator: Initiator
  readonly #startedAt = new Map<string, number>()
  readonly #endedAt = new Map<string, number>()
  #relays: readonly SimulatedRelay[] = []
  #isInitiatorAlive = true
  #clock = 0
  /** How long the storm holds its breath after this event. */
  #pauseMs = 0
  #violation: Violation | undefined

  constructor(scenario: Scenario) {
    this.#scenario = scenario
    this.#time = new VirtualTime(scenario.seed)
    this.store = new Store(this.#time)
    this.store.onProgress = (ops) => this.#watchProgress(ops)
    this.branches = new Branches(scenario.steps, (branch, op) => this.#watchEffect(branch, op))
    this.#initiator = this.#begin()
  }

  /** Runs it to its end; the first promise that was broken, if any was. */
  async run(): Promise<Violation | undefined> {
    const restore = this.#time.install()
    try {
      const surroundings = {
        database: this.store,
        turnstile: new Turnstile(),
        time: this.#time,
        destinations: (line: SimulatedRelay['line']) => [serviceOver(this.#network, line)],
        delivers: false,
      }
      this.#relays = [new SimulatedRelay('1', surroundings), new SimulatedRelay('2', surroundings)]
      await this.#storm()
      if (this.#violation === undefined) await this.#calmDown()
    } finally {
      restore()
    }
    return (
      this.#violation ??
      whatIsWrongInTheEnd(this.#scenario, this.store, this.branches, this.#local, this.#initiator.told)
    )
  }

  async #storm(): Promise<void> {
    for (const choice of this.#scenario.storm) {
      this.#clock += 1
      this.#blow(choice)
      await this.#time.advance(4 + (choice >> 11) + this.#pauseMs)
      this.#pauseMs = 0
      this.#violation ??= whatIsWrongNow(this.#scenario, this.store, this.branches)
      if (this.#violation !== undefined) return
    }
  }

  #begin(): Initiator {
    const scenario = this.#scenario
    if (scenario.kind === 'msg') return new Sender(scenario, this.store, this.#local)
    if (scenario.kind === 'saga') return new Submitter(scenario, this.store)
    return new BranchCaller(
      scenario,
      this.store,
      this.#network,
      (branch) => this.#note(this.#startedAt, branch),
      (branch) => this.#note(this.#endedAt, branch),
      (said) => {
        if (this.#isInitiatorAlive) this.#initiator.hear(said)
      },
    )
  }

  /** One event of the storm: the low bits say what, the rest to whom and how it ends. */
  #blow(choice: number): void {
    const rest = choice >> 5
    const relay = this.#relays[rest & 1]
    switch (choice & 31) {
      case 0:
        if ((rest & 2) === 0) relay?.crash()
        else relay?.restart()
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
        this.#network.doubleRequest(rest)
        break
      case 5:
        this.#pauseMs = 50 * (1 + (rest & 31))
        break
      case 6:
        this.#disturb(relay, rest)
        break
      case 7:
        this.#operate(rest)
        break
      default:
        this.#goOn(choice & 31, rest)
    }
  }

  #goOn(kind: number, rest: number): void {
    if (kind < 12) this.#relays[rest & 1]?.wake()
    else if (kind < 18) this.#stepInitiator(rest)
    else if (kind < 25) this.#deliver(this.#network.takeRequest(rest >> 3), MOODS[rest & 7] ?? 'good')
    else this.#hear(rest)
  }

  /** The line to the database: away for a while, longer than a claim holds, or of no known outcome; or a burial. */
  #disturb(relay: SimulatedRelay | undefined, rest: number): void {
    if (relay === undefined) return
    const { line } = relay
    const isLong = (rest & 12) === 12
    if ((rest & 2) === 0) line.failures = 1 + ((rest >> 2) & 1)
    else if ((rest & 16) === 16) this.store.bury()
    else line.stalledUntilMs = this.#time.nowMs + (isLong ? CLAIM_MS + 500 : 40 * (rest >> 4))
  }

  #crashInitiator(rest: number): void {
    if ((rest & 3) !== 0) return
    this.#isInitiatorAlive = false
    // A session that is gone has rolled back.
    this.#local.end(false)
  }

  #stepInitiator(choice: number): void {
    if (this.#isInitiatorAlive) this.#initiator.step(choice)
  }

  #operate(rest: number): void {
    const acts = ['pause', 'resume', 'abort', 'retry-now'] as const
    const act = acts[rest & 3] ?? 'resume'
    // A person that aborts a prepared message overrules its sender; that the two then differ is what was asked for.
    if (act === 'abort' && this.#scenario.kind === 'msg') return
    this.store.request({ kind: 'operator', act, reason: 'an operator' })
  }

  #deliver(request: Request | undefined, mood: Mood): void {
    if (request === undefined) return
    const { what, answer } = request
    this.#network.replies.push({ said: this.#saidTo(what, mood), answer })
  }

  #saidTo(what: Request['what'], mood: Mood): Said {
    if (what.kind === 'call') {
      const { branch, op, payload } = what
      return { kind: 'result', branch, outcome: this.branches.handle(branch, op, payload, mood) }
    }
    const isUnclear = mood === 'error' || mood === 'failure'
    const outcome = isUnclear ? (mood === 'error' ? 'unreachable' : 'unknown') : this.#local.ask()
    return { kind: 'verdict', outcome }
  }

  #hear(choice: number): void {
    const reply = this.#network.takeReply(choice)
    reply?.answer(reply.said)
  }

  async #calmDown(): Promise<void> {
    const leftOver = this.#scenario.lateArrivals ? this.#network.requests.splice(0) : []
    this.store.request({ kind: 'operator', act: 'resume', reason: 'the storm is over' })
    for (let round = 0; round < CALM_ROUNDS_MAX && (round < 12 || this.store.isOpen); round += 1) {
      this.#clock += 1
      this.#stepInitiator(round & 7 ? round << 6 : 0)
      const request = this.#network.takeRequest(0)
      this.#deliver(request, this.#calmMood(request))
      while (this.#network.replies.length > 0) this.#hear(0)
      await this.#time.advance(this.#network.requests.length > 0 ? 1 : Math.min(CALM_STEP_MS, this.#time.nextInMs + 5))
      this.#violation ??= whatIsWrongNow(this.#scenario, this.store, this.branches)
      if (this.#violation !== undefined) return
    }
    for (const request of leftOver) this.#deliver(request, 'good')
    while (this.#network.replies.length > 0) this.#hear(0)
    await this.#time.advance(1)
  }

  #calmMood(request: Request | undefined): Mood {
    const { failing, steps } = this.#scenario
    const step = failing === undefined ? undefined : steps[failing]
    const call = request?.what.kind === 'call' ? request.what : undefined
    const isForward = call?.op === 'action' || call?.op === 'try'
    const fails = isForward && call?.branch === step?.branch && step.recovery !== 'forward'
    return fails && this.#scenario.kind !== 'msg' ? 'failure' : 'good'
  }

  #note(times: Map<string, number>, branch: string): void {
    if (!times.has(branch)) times.set(branch, this.#clock)
  }

  /** What one write says of the order of branches: by the numbers that they drew, as their undoing goes by them. */
  #watchProgress(ops: readonly StoredOutcome[]): void {
    const actions = ops.filter(({ op }) => op === 'action')
    const starts = actions.map(({ branch, startSeq }) => ({ seq: startSeq, times: this.#startedAt, branch }))
    const ends = actions.map(({ branch, endSeq }) => ({ seq: endSeq, times: this.#endedAt, branch }))
    for (const { seq, times, branch } of [...starts, ...ends].sort((a, b) => (a.seq ?? 0) - (b.seq ?? 0))) {
      this.#clock += 1
      if (seq !== undefined) this.#note(times, branch)
    }
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
    // What need not be undone is not waited for: a pivot that failed has left nothing behind.
    const step = this.#scenario.steps.find((one) => one.branch === branch)
    return step?.recovery !== 'undo' || this.branches.rows.has(`${branch} ${op}`)
  }
}
