import { progressIn } from '../transactions/stored-rows.ts'
import { type Answer, type SimulatedDatabase, texts } from '../world/simulated-pool.ts'
import type { VirtualTime } from '../world/virtual-time.ts'

/** The service that messages go to, and that is asked about them. */
export const SERVICE = 'service'

/** A message as it was handed in. */
export interface Content {
  readonly branch: number
  readonly key: string | null
}

/** A two-phase message, or several that are decided together: a row of `global_transaction`. */
export interface Announced {
  readonly id: number
  readonly gid: string
  readonly content: readonly Content[]
  status: 'prepared' | 'submitted' | 'succeed' | 'failed'
  /** Whether `prepared_key` still has its keys. */
  inLine: boolean
  token: string | undefined
  dueAtMs: number
  asked: number
  backoffMs: number | undefined
}

/** A row of `delivery`. */
export interface Row {
  readonly id: number
  readonly gid: string
  readonly branch: number
  readonly key: string | null
  state: 'pending' | 'held' | 'confirmed' | 'dead'
  dueAtMs: number
  attempts: number
  token: string | undefined
  leaseUntilMs: number
}

const NOTHING: Answer = { rowCount: 0 }
const AHEAD_MS = 1_700_000_000_000

/** The tables that messages are in, and what the shipped statements do with them, each in one step. */
export class Tables implements SimulatedDatabase {
  announced: Announced[] = []
  deliveries: Row[] = []
  /** What a statement was asked to do that it must never be. */
  complaint: string | undefined
  /** How often a decided message had to wait for an earlier one. */
  waits = 0
  #claims = new Map<string, readonly number[]>()
  #hasLocks = false
  readonly #time: VirtualTime

  constructor(time: VirtualTime) {
    this.#time = time
  }

  get nowMs(): number {
    return AHEAD_MS + this.#time.nowMs
  }

  save(): () => void {
    const announced = this.announced.map((one) => ({ ...one }))
    const deliveries = this.deliveries.map((row) => ({ ...row }))
    const claims = new Map(this.#claims)
    return () => {
      this.announced = announced
      this.deliveries = deliveries
      this.#claims = claims
      this.#hasLocks = false
    }
  }

  /** Writes down what is about to be decided. */
  prepare(gid: string, content: readonly Content[]): Announced {
    const dueAtMs = this.nowMs + 1000
    const id = this.announced.length + 1
    const common = { id, gid, content, dueAtMs, asked: 0, token: undefined, backoffMs: undefined }
    const row: Announced = { ...common, status: 'prepared', inLine: content.some(({ key }) => key !== null) }
    this.announced.push(row)
    return row
  }

  /** Adds messages to what is to be delivered, as the commit of a service does. */
  write(gid: string, content: readonly Content[]): void {
    for (const { branch, key } of content) {
      const id = this.deliveries.length + 1
      const fresh = { attempts: 0, token: undefined, leaseUntilMs: 0, dueAtMs: this.nowMs }
      this.deliveries.push({ id, gid, branch, key, state: 'pending', ...fresh })
    }
  }

  readonly statements: SimulatedDatabase['statements'] = {
    '': () => NOTHING,
    postcommit_select_clock: () => ({ rows: [{ nowMs: this.nowMs }] }),
    postcommit_claim_transactions: ([, token, leaseMs]) => this.#claim('submitted', String(token), Number(leaseMs)),
    postcommit_claim_checks: ([, token, leaseMs]) => this.#claim('prepared', String(token), Number(leaseMs)),
    postcommit_select_next_transaction_due: () => ({ rows: this.#due('submitted').map((ms) => ({ ms })) }),
    postcommit_select_check_destinations: () => ({
      rows: this.#due('prepared').map((dueInMs) => ({ destination: SERVICE, dueInMs, isOut: false })),
    }),
    postcommit_record_progress: ([, ...values]) => this.#record(values),
    postcommit_release_transactions: ([ids, tokens]) => {
      for (const [index, token] of texts(tokens).entries()) {
        const row = this.#at(texts(ids)[index])
        if (row?.token === token) Object.assign(row, { token: undefined, dueAtMs: this.nowMs })
      }
      return NOTHING
    },
    postcommit_record_outage: () => NOTHING,
    postcommit_end_outage: () => NOTHING,
    postcommit_replace_trouble: () => NOTHING,
    postcommit_hand_over: ([ids]) => {
      const ready = this.#open(ids).filter(({ inLine }) => !inLine)
      for (const row of ready) this.#handOver(row)
      return { rows: [{ ids: ready.map(({ id }) => String(id)) }] }
    },
    postcommit_lock_keys_of: () => {
      this.#hasLocks = true
      return NOTHING
    },
    postcommit_hand_over_in_order: ([ids]) => this.#handOverInOrder(this.#open(ids)),
    postcommit_expedite_followers: ([, keys]) => this.#expedite((row) => isIn(row, texts(keys))),
    postcommit_expedite_followers_of: () => this.#expedite(() => true),
    postcommit_expedite_heads: () => this.#expedite(() => true),
    postcommit_expedite_undecided: () => NOTHING,
    postcommit_claim_due: ([, token, leaseMs, , free]) => this.#claimDue(String(token), Number(leaseMs), texts(free)),
    postcommit_record_settlements: ([, ...values]) => this.#settle(values.map(texts)),
    postcommit_release_successors: ([, keys]) => this.#releaseHeads((key) => texts(keys).includes(key)),
    postcommit_release_held: () => this.#releaseHeads(() => true),
    postcommit_release_claims: ([tokens]) => {
      for (const token of texts(tokens)) {
        for (const row of this.deliveries) if (row.token === token) this.#giveBack(row)
        this.#claims.delete(token ?? '')
      }
      return NOTHING
    },
    postcommit_release_unsent: ([ids, tokens]) => {
      for (const [index, id] of texts(ids).entries()) {
        const row = this.deliveries[Number(id) - 1]
        if (row !== undefined && row.token === texts(tokens)[index]) this.#giveBack(row)
      }
      return NOTHING
    },
    postcommit_select_next_due: () => {
      const pending = this.deliveries.filter(({ state }) => state === 'pending')
      const times = pending.map((row) => (row.token === undefined ? row.dueAtMs : row.leaseUntilMs) - this.nowMs)
      return { rows: [{ ms: times.length === 0 ? null : Math.min(...times) }] }
    },
  }

  #at(id: string | null | undefined): Announced | undefined {
    return this.announced[Number(id) - 1]
  }

  #due(status: Announced['status']): number[] {
    const due = this.announced.filter((row) => row.status === status).map(({ dueAtMs }) => dueAtMs - this.nowMs)
    return due.length === 0 ? [] : [Math.min(...due)]
  }

  #claim(status: 'prepared' | 'submitted', token: string, leaseMs: number): Answer {
    const due = this.announced.filter((row) => row.status === status && row.dueAtMs <= this.nowMs)
    if (due.length === 0) return { rows: [{ id: null }] }
    for (const row of due) Object.assign(row, { token, dueAtMs: this.nowMs + leaseMs })
    return { rows: due.map((row) => claimedRow(row, this.nowMs)) }
  }

  /** What questions came to: not yet, or given up. One transaction at a time is enough here. */
  #record(values: readonly unknown[]): Answer {
    const ids = texts(values[0])
    const written = ids.flatMap((id, index) => {
      const row = this.#at(id)
      const progress = progressIn(values.slice(1), index)
      if (row === undefined || row.token !== progress.token || row.status !== progress.from) return []
      row.asked = progress.asked
      row.dueAtMs = progress.dueAtMs ?? row.dueAtMs
      if (progress.dueAtMs !== undefined || progress.to === 'failed') row.token = undefined
      if (progress.to === 'failed') row.status = 'failed'
      return [{ id }]
    })
    return { rows: written }
  }

  #open(ids: unknown): Announced[] {
    const asked = texts(ids).flatMap((id) => this.#at(id) ?? [])
    return asked.filter(({ status }) => status === 'prepared' || status === 'submitted').sort((a, b) => a.id - b.id)
  }

  #handOver(row: Announced): void {
    Object.assign(row, { status: 'succeed', token: undefined, inLine: false })
    this.write(row.gid, row.content)
  }

  #handOverInOrder(candidates: readonly Announced[]): Answer {
    if (!this.#hasLocks) this.complaint = 'keys were decided about without their locks'
    this.#hasLocks = false
    const written: Announced[] = []
    const waiting: Announced[] = []
    for (const row of candidates) {
      if (this.#isBehind(row)) waiting.push(row)
      else {
        this.#handOver(row)
        written.push(row)
      }
    }
    this.waits += waiting.length
    for (const row of waiting) {
      row.backoffMs = Math.min(30_000, 2 * (row.backoffMs ?? 500))
      Object.assign(row, { status: 'submitted', token: undefined, dueAtMs: this.nowMs + row.backoffMs })
    }
    const keys = written.flatMap(({ content }) => content.flatMap(({ key }) => (key === null ? [] : [key])))
    const idsOf = (rows: readonly Announced[]) => rows.map(({ id }) => String(id))
    const answer = { written: idsOf(written), waiting: idsOf(waiting), keys: keys.map((key) => ({ tenant: '', key })) }
    return { rows: [answer] }
  }

  #isBehind(row: Announced): boolean {
    const keys = row.content.map(({ key }) => key)
    return this.announced.some(
      (earlier) => earlier.id < row.id && earlier.inLine && earlier.status !== 'failed' && isIn(earlier, keys),
    )
  }

  #expedite(isMeant: (row: Announced) => boolean): Answer {
    const late = this.announced.filter((row) => row.status === 'submitted' && row.token === undefined && isMeant(row))
    for (const row of late) Object.assign(row, { dueAtMs: this.nowMs, backoffMs: undefined })
    return { rowCount: late.length }
  }

  #claimDue(token: string, leaseMs: number, free: readonly (string | null)[]): Answer {
    const now = this.nowMs
    const due = this.deliveries.filter(
      ({ state, dueAtMs, leaseUntilMs }) => state === 'pending' && dueAtMs <= now && leaseUntilMs <= now,
    )
    const behind = due.filter((row) => this.#predecessor(row) !== undefined)
    for (const row of behind) Object.assign(row, { state: 'held', token: undefined, leaseUntilMs: 0 })
    const heads = due.filter((row) => !behind.includes(row)).slice(0, Number(free[0] ?? 0))
    for (const row of heads) Object.assign(row, { token, leaseUntilMs: now + leaseMs })
    if (heads.length > 0)
      this.#claims.set(
        token,
        heads.map(({ id }) => id),
      )
    const held = behind.length
    if (heads.length === 0) return { rows: [{ held, id: null }] }
    return { rows: heads.map((row) => ({ held, ...deliveryRow(row) })) }
  }

  #predecessor({ id, key }: Row): Row | undefined {
    if (key === null) return undefined
    return this.deliveries.find((other) => other.id < id && other.key === key && other.state !== 'confirmed')
  }

  #settle([ids = [], tokens = [], events = [], , , attempts = [], dues = []]: readonly (readonly (string | null)[])[]) {
    const written = ids.flatMap((id, index) => {
      const row = this.deliveries[Number(id) - 1]
      if (row === undefined || row.token !== tokens[index]) return []
      const event = events[index]
      row.state = event === 'confirmed' ? 'confirmed' : event === 'dead' ? 'dead' : 'pending'
      row.attempts = Number(attempts[index] ?? row.attempts)
      row.dueAtMs = this.nowMs + Number(dues[index])
      Object.assign(row, { token: undefined, leaseUntilMs: 0 })
      return [{ id, ageMs: 1 }]
    })
    return { rows: written }
  }

  #releaseHeads(isMeant: (key: string) => boolean): Answer {
    const heads = this.deliveries.filter((row) => {
      return row.state === 'held' && row.key !== null && isMeant(row.key) && this.#predecessor(row) === undefined
    })
    for (const row of heads) row.state = 'pending'
    return { rowCount: heads.length }
  }

  #giveBack(row: Row): void {
    Object.assign(row, { token: undefined, leaseUntilMs: 0, dueAtMs: this.nowMs })
  }
}

function isIn({ content }: Announced, keys: readonly (string | null)[]): boolean {
  return content.some(({ key }) => key !== null && keys.includes(key))
}

function claimedRow({ id, gid, status, asked, backoffMs, content }: Announced, nowMs: number): object {
  return {
    id: String(id),
    tenant: '',
    gid,
    mode: 'msg',
    status,
    runBy: 'relay',
    digest: '',
    dialect: 'v1',
    protocol: 'http',
    checkDestination: SERVICE,
    checkTarget: `${SERVICE}/asked`,
    options: JSON.stringify({ retry: { baseMs: 200, capMs: 2000 } }),
    seq: 0,
    opCount: 0,
    asked,
    claimed: true,
    backoffMs: backoffMs ?? null,
    key: content.find(({ key }) => key !== null)?.key ?? null,
    behind: null,
    createdAtMs: nowMs,
    deadlineMs: null,
    nowMs,
    isForOutbox: true,
    op: null,
  }
}

function deliveryRow({ id, gid, branch, key, attempts }: Row): object {
  const content = { payload: '{}', body: null, headers: null, withheldBy: null, bytes: 2 }
  return { id: String(id), gid, branch, destination: SERVICE, target: '/message', key, attempts, ...content }
}
