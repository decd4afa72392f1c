import { randomUUID } from 'node:crypto'
import type pg from 'pg'
import type { Logger } from 'pino'
import { failpoint, within } from 'postcommit/protocol'
import type { Gates } from '../../destinations/gates.ts'
import type { Op } from '../../engine/transaction/op.ts'
import { isFinal } from '../../engine/transaction/transaction.ts'
import type { Metrics } from '../../observe/metrics.ts'
import { claimTransactions } from '../../store/transaction/claim-transactions.ts'
import { expediteHeads, type OrderedKey } from '../../store/transaction/expedite-heads.ts'
import { fanOutBranch } from '../../store/transaction/fan-out-branch.ts'
import type { NewTransaction } from '../../store/transaction/insert-transactions.ts'
import { releaseTransactions } from '../../store/transaction/release-transactions.ts'
import { selectClock } from '../../store/transaction/select-clock.ts'
import { selectNextTransactionDue } from '../../store/transaction/select-next-transaction-due.ts'
import { selectOperations } from '../../store/transaction/select-operations.ts'
import type { ClaimedTransaction, OperationRow, TransactionClaim } from '../../store/transaction/transaction-row.ts'
import { WakeSignal } from '../../wake-signal.ts'
import { type DecidedMessage, type Handed, HandOver } from '../intake/hand-over.ts'
import { claimedFrom } from '../stored/as-if-claimed.ts'
import { opKey } from '../stored/engine-view.ts'
import { GroupCommit } from '../stored/group-commit.ts'
import { Recorder } from '../stored/progress-writer.ts'
import { readStoredOptions } from '../stored/stored-options.ts'
import { Alerts, type AlertsOptions } from './alerts.ts'
import { BranchCaller } from './branch-caller.ts'
import { DatabaseClock } from './database-clock.ts'
import { Places } from './places.ts'
import { RunningTransaction } from './running-transaction.ts'
import { type Wait, Waiters } from './waiters.ts'

/** What a coordinator works with. */
export interface CoordinatorOptions {
  readonly source: string
  /** Its sessions need DISPATCHER_OPTIONS. */
  readonly pool: pg.Pool
  /** The id under which transactions are claimed; undefined while this relay does not take part. */
  readonly relayId: () => string | undefined
  readonly gates: Gates
  readonly metrics: Metrics
  readonly log: Logger
  /** How long a claim holds, milliseconds. No call may take longer than half of it. */
  readonly claimLeaseMs: number
  readonly pollMs: { readonly min: number; readonly max: number }
  readonly alerts?: AlertsOptions | undefined
  /** Messages are in outbox and delivery: those who send them look now. */
  readonly onHandedOver: () => void
}

/** A transaction that is handed in and begun with the same statement. */
export interface FirstCalls {
  /** To be inserted in place of what was given. */
  readonly content: NewTransaction
  /** It was inserted: the calls may go. */
  confirm(id: string): void
  /** It was not. */
  cancel(): void
}

/** How things stand after something was decided from outside. */
export interface Decided {
  readonly status: ClaimedTransaction['status'] | undefined
  readonly key?: string | null | undefined
  readonly rollbackReason?: string | null | undefined
}

/** How many transactions one relay has in hand at most, and about how many bytes of payload. */
const HELD_MAX = 2000
const HELD_BYTES_MAX = 64 << 20
const CLAIM_MAX = 200
const NEXT_DUE_MIN_MS = 5
const ERROR_PAUSE_MS = { first: 50, cap: 2000 }
const LAST_WRITES_MS = 2000

/**
 * Carries out transactions: claims what is due, or is handed what was just submitted, and runs each until it ends, waits
 * for its time, or stops being this relay's.
 */
export class Coordinator {
  readonly #options: CoordinatorOptions
  readonly #signal = new WakeSignal()
  readonly #clock = new DatabaseClock()
  readonly #places: Places
  readonly #caller: BranchCaller
  readonly #recorder: Recorder
  readonly #waiters: Waiters
  readonly #alerts: Alerts
  readonly #handOver: HandOver
  readonly #promotions: GroupCommit<OrderedKey, true>
  /** What is in hand, each with the bytes that it takes. */
  readonly #running = new Map<RunningTransaction, number>()
  readonly #ended: Promise<void>
  #stopping = false
  #heldBytes = 0

  constructor(options: CoordinatorOptions) {
    this.#options = options
    this.#places = new Places({
      gates: options.gates,
      room: () => HELD_MAX - this.#running.size,
      isStopping: () => this.#stopping,
    })
    this.#caller = new BranchCaller({ ...options, places: this.#places })
    this.#recorder = new Recorder(options)
    this.#waiters = new Waiters(options.pool)
    this.#alerts = new Alerts(options)
    this.#handOver = new HandOver({
      ...options,
      onWritten: options.onHandedOver,
      onFollowers: () => this.#signal.call(),
    })
    this.#promotions = new GroupCommit({
      keyOf: ({ tenant, key }) => `${tenant}\0${key}`,
      refusal: () => new Error('too many lines'),
      write: async (lines) => {
        if ((await expediteHeads(options.pool, lines)) > 0) this.#signal.call()
        return lines.map(() => true as const)
      },
    })
    this.#ended = this.#run()
  }

  /** How many transactions this relay has in hand. */
  get held(): number {
    return this.#running.size
  }

  /** Looks for due transactions now. */
  wake(): void {
    this.#signal.call()
  }

  /** A claim for what is about to be submitted, so that this relay begins it at once; undefined: it has enough to do. */
  claim(): TransactionClaim | undefined {
    const relay = this.#options.relayId()
    if (relay === undefined || this.#stopping || !this.#clock.isKnown || this.#isFull) return undefined
    return { relay, token: randomUUID(), leaseMs: this.#options.claimLeaseMs }
  }

  /** Carries out what was claimed, just now or `heldMs` ago. */
  take(row: ClaimedTransaction, token: string, heldMs = 0): void {
    if (heldMs === 0) this.#clock.learn(row.nowMs)
    if (this.#stopping) {
      void releaseTransactions(this.#options.pool, [{ id: row.id, token }]).catch(() => undefined)
      return
    }
    try {
      if (row.isForOutbox && row.status === 'submitted') {
        void this.#handOverClaimed(row)
        return
      }
      const running = this.#open(row, token)
      this.#hold(running)
      running.step()
    } catch (error) {
      // Its claim runs out; the others that were claimed with it must not wait for that.
      const { source, log } = this.#options
      log.error({ source, gid: row.gid, error: String(error) }, 'a transaction cannot be read')
    }
  }

  /** Hands a decided message over to the outbox, or has it wait for an earlier one of its keys. */
  handOver(message: DecidedMessage): Promise<Handed> {
    return this.#handOver.add(message)
  }

  /** Plans what is about to be inserted as submitted, so that its first calls are begun by the insert. */
  first(content: NewTransaction, claim: TransactionClaim): FirstCalls | undefined {
    // Whether an earlier one of its key is unsettled is for the database to say.
    if (content.key !== undefined) return undefined
    const now = this.#clock.now()
    const running = this.#open(claimedFrom(content, now), claim.token)
    const first = running.planFirst()
    if (!first.isWhole) {
      first.cancel()
      // Claimed all the same: what waits for a place waits here, and need not be claimed once more.
      const whole = { ...content, claim }
      return {
        content: whole,
        confirm: (id) => this.take({ ...claimedFrom(whole, now), id }, claim.token),
        cancel() {},
      }
    }
    const begun = new Map(first.begun.map((op) => [opKey(op), op]))
    const operations = content.operations.map((operation) => {
      const op = begun.get(opKey(operation))
      if (op === undefined) return operation
      return { ...operation, startSeq: op.startSeq, leaseMs: (op.leaseUntilMs ?? now) - now }
    })
    return {
      content: { ...content, claim, seq: first.seq, operations },
      confirm: (id) => {
        this.#hold(running)
        first.confirm(id)
      },
      cancel: first.cancel,
    }
  }

  /**
   * Waits for the end of a transaction, at most `ms`. With `round` it stops waiting as soon as the next attempt is
   * scheduled after that limit.
   */
  wait(
    key: { readonly tenant: string; readonly gid: string },
    ms: number,
    { round = false }: { readonly round?: boolean } = {},
  ): Wait {
    return this.#waiters.wait(key, ms, round)
  }

  /** A client or an operator decided: tells those that wait for the end, lets followers go, and runs what is due. */
  decided(
    key: { readonly tenant: string; readonly gid: string },
    { status, key: line, rollbackReason }: Decided,
  ): void {
    if (status === undefined) return
    if (isFinal(status)) this.#waiters.tell(key, { status, rollbackReason: rollbackReason ?? undefined })
    else this.#signal.call()
    if (status === 'failed') void this.#handOver.gaveUp(key)
    if (line !== undefined && line !== null) this.promote({ tenant: key.tenant, key: line })
  }

  /** A keyed transaction has ended, or a follower waits: the head of the line may go. */
  promote(line: OrderedKey): void {
    this.#promotions.add(line).catch((error: unknown) => {
      const { source, log } = this.#options
      log.warn({ source, error: error instanceof Error ? error.message : String(error) }, 'cannot promote a head')
    })
  }

  /** Claims nothing more, lets what runs come to a point where it can be left, and gives the rest back. */
  async stop({ drainMs }: { readonly drainMs: number }): Promise<void> {
    const deadline = performance.now() + drainMs
    this.#stopping = true
    this.#signal.call()
    const isAtWork = () => [...this.#running.keys()].some((running) => running.isAtWork)
    while (isAtWork() && performance.now() < deadline) await this.#signal.wait(20)
    this.#caller.abort()
    const left = [...this.#running.keys()].flatMap(({ row, token }) => (row.id === '' ? [] : [{ id: row.id, token }]))
    for (const running of [...this.#running.keys()]) running.abandon()
    this.#waiters.close()
    const release = left.length === 0 ? undefined : releaseTransactions(this.#options.pool, left)
    await within(LAST_WRITES_MS, Promise.all([this.#ended, release, this.#alerts.close()]), () => undefined).catch(
      () => undefined,
    )
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
        if (this.#clock.isStale) this.#clock.learn(await selectClock(this.#options.pool))
        const foundAll = await this.#claim(relay)
        errorPauseMs = ERROR_PAUSE_MS.first
        if (foundAll) await this.#signal.wait(await this.#idleMs())
      } catch (error) {
        log.warn({ source, error: error instanceof Error ? error.message : String(error) }, 'cannot claim transactions')
        await this.#signal.wait(errorPauseMs)
        errorPauseMs = Math.min(ERROR_PAUSE_MS.cap, errorPauseMs * 2)
      }
    }
  }

  /** Claims as much as there is room for; resolves to whether that was all that is due. */
  async #claim(relay: string): Promise<boolean> {
    const { pool, claimLeaseMs: leaseMs } = this.#options
    if (this.#isFull) return true
    const limit = Math.min(CLAIM_MAX, HELD_MAX - this.#running.size)
    const token = randomUUID()
    const claimed = await claimTransactions(pool, { relay, token, leaseMs }, limit)
    if (claimed.length > 0) failpoint('coordinator.after_claim')
    for (const row of claimed) this.take(row, token)
    return claimed.length < limit
  }

  async #handOverClaimed({ id, gid, key }: ClaimedTransaction): Promise<void> {
    try {
      await this.#handOver.add({ id, isKeyed: key !== null })
    } catch (error) {
      // It is due again when its claim has run out.
      const { source, log } = this.#options
      log.warn({ source, gid, error: String(error) }, 'cannot hand a message over')
    }
  }

  async #idleMs(): Promise<number> {
    const { pool, pollMs } = this.#options
    const dueInMs = await selectNextTransactionDue(pool)
    if (this.#isFull) return pollMs.max
    // What is due already and was not claimed is locked by another transaction: asking again at once would spin.
    return Math.min(pollMs.max, Math.max(NEXT_DUE_MIN_MS, Math.ceil(dueInMs ?? pollMs.max)))
  }

  get #isFull(): boolean {
    return this.#running.size >= HELD_MAX || this.#heldBytes >= HELD_BYTES_MAX
  }

  #hold(running: RunningTransaction): void {
    const bytes = bytesOf(running.row)
    this.#running.set(running, bytes)
    this.#heldBytes += bytes
  }

  #open(row: ClaimedTransaction, token: string): RunningTransaction {
    const { pool, claimLeaseMs } = this.#options
    return new RunningTransaction(row, token, row.nowMs + claimLeaseMs, {
      now: () => this.#clock.now(),
      random: Math.random,
      isStopping: () => this.#stopping,
      knows: (lane) => this.#places.destination(lane) !== undefined,
      take: (lane) => this.#places.take(lane),
      park: (lane, resume) => this.#places.park(lane, resume),
      pause: (lane, backoffMs) => this.#places.pause(lane, backoffMs),
      limitMs: (of, operation, lane) => {
        const usualMs = (lane === undefined ? undefined : this.#places.destination(lane))?.timeoutMs ?? 0
        return limitMs(of, operation, usualMs, claimLeaseMs)
      },
      call: (started) => this.#caller.call(started),
      fanOut: (of, branch, topic) => fanOut(pool, of, token, branch, topic),
      write: (progress, isStillOurs) => this.#recorder.write(progress, isStillOurs),
      onTrouble: (of, op: Op, call, refusedDecision) => this.#alerts.trouble(of, op, call, refusedDecision),
      onLeft: (running, how) => this.#left(running, how),
    })
  }

  #left(running: RunningTransaction, how: 'ended' | 'waiting' | 'fenced' | 'stopped'): void {
    const wasFull = this.#isFull
    this.#heldBytes -= this.#running.get(running) ?? 0
    this.#running.delete(running)
    const { tenant, gid, key, behind, createdAtMs } = running.row
    const { source, metrics } = this.#options
    const { status, reason: rollbackReason } = running
    if (how === 'ended' && isFinal(status)) {
      metrics.transactionsEnded.inc({ source, mode: running.row.mode, status })
      metrics.transactionSeconds.observe({ source, mode: running.row.mode }, (this.#clock.now() - createdAtMs) / 1000)
      this.#waiters.tell({ tenant, gid }, { status, rollbackReason })
    }
    if (how === 'waiting' && running.dueAtMs !== undefined) {
      this.#waiters.put({ tenant, gid }, running.dueAtMs - this.#clock.now())
    }
    if (key !== null && (how === 'ended' || (how === 'waiting' && behind !== null))) this.promote({ tenant, key })
    if (how !== 'ended' || wasFull) this.#signal.call()
  }
}

function bytesOf({ operations }: ClaimedTransaction): number {
  return operations.reduce((sum, { payload, body }) => sum + (payload?.length ?? 0) + (body?.length ?? 0), 0)
}

/** Half a claim at most, so that a fresh one always leaves time for a call. */
function limitMs(row: ClaimedTransaction, { options }: OperationRow, usualMs: number, claimLeaseMs: number): number {
  const askedMs = readStoredOptions(options).requestTimeoutMs ?? readStoredOptions(row.options).requestTimeoutMs
  return Math.min(askedMs ?? usualMs, claimLeaseMs / 2)
}

async function fanOut(pool: pg.Pool, row: ClaimedTransaction, token: string, branch: string, topic: string) {
  const { id, tenant, opCount, dialect } = row
  // DTM's messages go one after the other unless they say otherwise, whoever they go to.
  const sequential = dialect === 'dtm' && readStoredOptions(row.options).concurrent !== true
  try {
    const branches = await fanOutBranch(pool, { id, token, tenant, branch, topic, sequential })
    if (branches === undefined) return undefined
    const operations = (await selectOperations(pool, [id])).get(id) ?? []
    return { ...row, opCount: opCount + branches, operations }
  } catch {
    return undefined
  }
}
