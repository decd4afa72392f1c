import type { CallAnswer } from '../../../relay/engine/call-answer.ts'
import { LocalTransaction } from '../transactions/local-transaction.ts'
import { Turnstile } from '../world/simulated-pool.ts'
import { CLAIM_MS, SimulatedRelay } from '../world/simulated-relay.ts'
import { VirtualTime } from '../world/virtual-time.ts'
import type { Scenario, Sending } from './scenario.ts'
import { ATTEMPTS_MAX, CONCURRENCY, type Request, serviceOver } from './simulated-service.ts'
import { type Announced, type Row, Tables } from './tables.ts'

/**
 * A broken promise. M1: what was committed is delivered, or dead for a reason. M2: nothing else is. M3: by key, in the
 * order in which it was sent. M4: no more calls at once than there are places. M5: what was written down stays. M6: a
 * message is dead only by answers about it.
 */
export interface Violation {
  readonly invariant: 'M1' | 'M2' | 'M3' | 'M4' | 'M5' | 'M6'
  readonly what: string
}

interface Sender {
  readonly gid: string
  readonly sending: Sending
  readonly local: LocalTransaction
  row: Announced | undefined
  at: 'prepare' | 'begin' | 'end' | 'tell' | 'over'
}

const CALM_ROUNDS_MAX = 600
const CALM_STEP_MS = 3000
const AWAY: CallAnswer = { kind: 'unanswered', result: 'away', error: 'no service listens there' }
const answered = (status: number): CallAnswer => ({ kind: 'answered', status, body: undefined })
const ANSWERS: readonly CallAnswer[] = [
  answered(200),
  answered(200),
  answered(500),
  AWAY,
  AWAY,
  { kind: 'done' },
  { kind: 'refused', error: 'no such customer' },
  answered(204),
]

/** One history of messages: sent, decided, handed over and delivered by the loops that ship, of two relays. */
export class History {
  readonly tables: Tables
  readonly #scenario: Scenario
  readonly #time: VirtualTime
  readonly #turnstile = new Turnstile()
  readonly #requests: Request[] = []
  readonly #replies: (() => void)[] = []
  readonly #senders: readonly Sender[]
  /** Messages in the order in which they got there for the first time. */
  readonly #arrived = new Set<string>()
  /** Calls of each message, without those that were told in time that nobody is there. */
  readonly #calls = new Map<string, number>()
  readonly #refused = new Set<string>()
  readonly #confirmed = new Set<number>()
  #relays: readonly SimulatedRelay[] = []
  #pauseMs = 0
  #violation: Violation | undefined

  constructor(scenario: Scenario) {
    this.#scenario = scenario
    this.#time = new VirtualTime(scenario.seed)
    this.tables = new Tables(this.#time)
    this.#senders = scenario.sendings.map((sending, index) => ({
      gid: `message-${index + 1}`,
      sending,
      local: new LocalTransaction(),
      row: undefined,
      at: sending.isAnnounced ? 'prepare' : 'begin',
    }))
  }

  /** Runs it to its end; the first promise that was broken, if any was. */
  async run(): Promise<Violation | undefined> {
    const restore = this.#time.install()
    try {
      const surroundings = {
        database: this.tables,
        turnstile: this.#turnstile,
        time: this.#time,
        destinations: (line: SimulatedRelay['line']) => [
          serviceOver(this.#requests, line, (underWay, name) => this.#watchCall(underWay, name)),
        ],
        delivers: true,
      }
      this.#relays = [new SimulatedRelay('1', surroundings), new SimulatedRelay('2', surroundings)]
      for (const choice of this.#scenario.storm) {
        this.#blow(choice)
        await this.#pass(4 + (choice >> 11) + this.#pauseMs)
        this.#pauseMs = 0
        if (this.#violation !== undefined) return this.#violation
      }
      await this.#calmDown()
    } finally {
      restore()
    }
    return this.#violation ?? this.#whatIsWrongInTheEnd()
  }

  async #pass(ms: number): Promise<void> {
    await this.#time.advance(ms)
    this.#watchRows()
  }

  #blow(choice: number): void {
    const rest = choice >> 5
    const relay = this.#relays[rest & 1]
    const kind = choice & 31
    if (kind === 0) (rest & 2) === 0 ? relay?.crash() : relay?.restart()
    else if (kind === 1) take(this.#requests, rest)
    else if (kind === 2) take(this.#replies, rest)
    else if (kind === 3) this.#pauseMs = 50 * (1 + (rest & 31))
    else if (kind === 4) this.#disturb(relay, rest)
    else if (kind < 8) relay?.wake()
    else if (kind < 18) this.#step(this.#senders[rest % this.#senders.length], relay)
    else if (kind < 26) this.#deliver(take(this.#requests, rest >> 3), ANSWERS[rest & 7] ?? AWAY)
    else take(this.#replies, rest)?.()
  }

  #disturb(relay: SimulatedRelay | undefined, rest: number): void {
    if (relay === undefined) return
    const isLong = (rest & 12) === 12
    if ((rest & 2) === 0) relay.line.failures = 1 + ((rest >> 2) & 1)
    else relay.line.stalledUntilMs = this.#time.nowMs + (isLong ? CLAIM_MS + 500 : 40 * (rest >> 4))
  }

  /** One step of a service: each is one statement, which waits for whoever has locked what it touches. */
  #step(sender: Sender | undefined, relay: SimulatedRelay | undefined): void {
    if (sender === undefined || !this.#turnstile.isFree) return
    const { gid, sending, local } = sender
    switch (sender.at) {
      case 'prepare':
        sender.row = this.tables.prepare(gid, sending.content)
        sender.at = 'begin'
        break
      case 'begin':
        sender.at = local.begin() ? 'end' : 'over'
        break
      case 'end':
        local.end(sending.commits)
        if (!sending.isAnnounced && sending.commits) this.tables.write(gid, sending.content)
        sender.at = sending.isAnnounced && sending.tells ? 'tell' : 'over'
        break
      case 'tell':
        this.#tell(sender, relay)
        sender.at = 'over'
        break
      case 'over':
        break
    }
  }

  #tell({ row, local }: Sender, relay: SimulatedRelay | undefined): void {
    if (row === undefined || local.state !== 'committed') return
    relay?.handOver({ id: String(row.id), isKeyed: row.inLine })
  }

  #deliver(request: Request | undefined, said: CallAnswer): void {
    if (request === undefined) return
    if (request.kind === 'question') {
      const sender = this.#senders.find(({ gid }) => gid === request.gid)
      const verdict = sender?.local.ask() ?? 'unknown'
      this.#replies.push(() => void request.answer(said === AWAY ? 'unknown' : verdict))
      return
    }
    if (said !== AWAY) this.#arrive(request, said)
    this.#replies.push(() => {
      const isAway = request.answer(said) && said === AWAY
      if (isAway) this.#count(`${request.gid}:${request.branch}`, -1)
    })
  }

  #arrive({ gid, branch, key }: Extract<Request, { kind: 'message' }>, { kind }: CallAnswer): void {
    const name = `${gid}:${branch}`
    if (kind === 'refused') this.#refused.add(name)
    const sender = this.#senders.find((one) => one.gid === gid)
    if (sender?.local.state !== 'committed')
      this.#breach('M2', `${name} was sent, its transaction is ${sender?.local.state}`)
    if (this.#arrived.has(name)) return
    const earlier = key === undefined ? undefined : this.#earlier(gid, branch, key)
    if (earlier !== undefined) this.#breach('M3', `${name} got there before ${earlier}`)
    this.#arrived.add(name)
  }

  /** A message of the key that should have been there before: an earlier row, or one that was announced earlier. */
  #earlier(gid: string, branch: number, key: string): string | undefined {
    const own = this.tables.deliveries.find((row) => row.gid === gid && row.branch === branch)
    const rows = this.tables.deliveries.filter((row) => row.key === key && own !== undefined && row.id < own.id)
    const announced = this.#senders.find((one) => one.gid === gid)?.row
    const before = this.#senders.filter(({ row, local }) => {
      return row !== undefined && announced !== undefined && row.id < announced.id && local.state === 'committed'
    })
    const sent = before.flatMap(({ gid: of, sending }) => {
      return sending.content.flatMap((one) => (one.key === key ? [`${of}:${one.branch}`] : []))
    })
    return [...rows.map((row) => `${row.gid}:${row.branch}`), ...sent].find((name) => !this.#arrived.has(name))
  }

  #count(name: string, calls: number): void {
    this.#calls.set(name, (this.#calls.get(name) ?? 0) + calls)
  }

  #watchCall(underWay: number, name: string): void {
    this.#count(name, 1)
    if (underWay > CONCURRENCY) this.#breach('M4', `${underWay} calls at once at ${CONCURRENCY} places`)
  }

  #watchRows(): void {
    const { complaint, deliveries } = this.tables
    if (complaint !== undefined) this.#breach('M3', complaint)
    if (!this.#turnstile.isFree) return
    for (const row of deliveries) {
      if (row.state === 'confirmed') this.#confirmed.add(row.id)
      else if (this.#confirmed.has(row.id)) this.#breach('M5', `${nameOf(row)} was confirmed and is ${row.state}`)
    }
  }

  async #calmDown(): Promise<void> {
    for (let round = 0; round < CALM_ROUNDS_MAX && (round < 30 || this.#isOpen); round += 1) {
      for (const sender of this.#senders) this.#step(sender, this.#relays[0])
      this.#deliver(take(this.#requests, 0), { kind: 'done' })
      for (const reply of this.#replies.splice(0)) reply()
      const calmMs = Math.min(CALM_STEP_MS, this.#time.nextInMs + 5)
      await this.#pass(this.#requests.length > 0 ? 1 : calmMs)
      if (this.#violation !== undefined) return
    }
  }

  get #isOpen(): boolean {
    const { announced, deliveries } = this.tables
    const isUndecided = announced.some(({ status }) => status === 'prepared' || status === 'submitted')
    return (
      isUndecided ||
      !this.#turnstile.isFree ||
      deliveries.some((row) => row.state === 'pending' || this.#isForgotten(row))
    )
  }

  /** Held, and behind nothing that is dead. */
  #isForgotten({ id, key, state }: Row): boolean {
    return (
      state === 'held' && !this.tables.deliveries.some((row) => row.id < id && row.key === key && row.state === 'dead')
    )
  }

  #whatIsWrongInTheEnd(): Violation | undefined {
    const { announced, deliveries } = this.tables
    const open = announced.find(({ status }) => status === 'prepared' || status === 'submitted')
    if (open !== undefined) return { invariant: 'M1', what: `${open.gid} is still ${open.status}` }
    for (const { gid, sending, local } of this.#senders) {
      if (local.state !== 'committed') continue
      for (const { branch } of sending.content) {
        const row = deliveries.find((one) => one.gid === gid && one.branch === branch)
        if (row === undefined) return { invariant: 'M1', what: `${gid}:${branch} was committed and is nowhere` }
        const wrong = this.#whatIsWrongWith(row)
        if (wrong !== undefined) return wrong
      }
    }
    return undefined
  }

  #whatIsWrongWith(row: Row): Violation | undefined {
    const name = nameOf(row)
    const isLeft = row.state === 'pending' || this.#isForgotten(row)
    if (isLeft) return { invariant: 'M1', what: `${name} is still ${row.state}` }
    const calls = this.#calls.get(name) ?? 0
    if (row.state === 'dead' && !this.#refused.has(name) && calls < ATTEMPTS_MAX) {
      return { invariant: 'M6', what: `${name} is dead after ${calls} calls that did not find the service away` }
    }
    if (row.state === 'confirmed' && !this.#arrived.has(name))
      return { invariant: 'M1', what: `${name} never got there` }
    return undefined
  }

  #breach(invariant: Violation['invariant'], what: string): void {
    this.#violation ??= { invariant, what }
  }
}

function nameOf({ gid, branch }: Row): string {
  return `${gid}:${branch}`
}

function take<T>(from: T[], choice: number): T | undefined {
  return from.splice(choice % Math.max(1, from.length), 1)[0]
}
