import { decide } from '../../engine/transaction/decide.ts'
import type { Decision, Subject, TransactionEvent } from '../../engine/transaction/event.ts'
import type { Mode, Status } from '../../engine/transaction/transaction.ts'
import type { Queryable } from '../../store/queryable.ts'
import {
  type InsertedTransaction,
  insertTransactions,
  type NewTransaction,
} from '../../store/transaction/insert-transactions.ts'
import { type Move, type MoveRule, moveTransactions } from '../../store/transaction/move-transactions.ts'
import { type Registered, type Registration, registerBranches } from '../../store/transaction/register-branches.ts'
import { selectTransactionStates, type TransactionState } from '../../store/transaction/select-transaction-states.ts'
import { type Submission, submitPrepared } from '../../store/transaction/submit-prepared.ts'
import type { ClaimedTransaction, TransactionKey } from '../../store/transaction/transaction-row.ts'
import { GroupCommit } from '../stored/group-commit.ts'
import type { DecidedMessage, Handed } from './hand-over.ts'

/** What became of a request. */
export interface Answer {
  /** `ok`: by this request. Everything else is what the table of events says about how things stand. */
  readonly decision: Decision
  /** How things stand; undefined if there is no such transaction. */
  readonly status: Status | undefined
  readonly id?: string
  /** For a new transaction that asked for a claim: whether it got it. */
  readonly begun?: boolean
  readonly result?: string | null
  readonly rollbackReason?: string | null
  /** The messages of this submission are in the outbox, or wait for their turn: there is nothing to run. */
  readonly handedOver?: boolean
  /** For a submission that asked for a claim and got it: what to run. */
  readonly claimed?: ClaimedTransaction
  /** For a registration that was taken. */
  readonly registered?: Registered
}

/** A transaction that is submitted: as it was prepared, or, with `content`, whether it was prepared or not. */
export interface SubmitRequest extends Submission {
  /** What to write if there is no such transaction. */
  readonly content?: NewTransaction | undefined
  /** A message for the outbox that was prepared here: it need not be read to be handed over. */
  readonly remembered?: DecidedMessage | undefined
}

/** A client's wish to give up what it has prepared. */
export interface AbortRequest extends TransactionKey {
  readonly reason: string
}

/** What requests are written with, and how many may wait. */
export interface IntakeOptions {
  /** Hands a decided message over to the outbox. */
  readonly handOver: (message: DecidedMessage) => Promise<Handed>
  readonly refusal: () => Error
  readonly requestsMax?: number
  readonly waitingMax?: number
}

/**
 * Takes in what clients hand in, many requests by one statement. The statements compare and set; who did not get his
 * way is told by the table of events how things stand, after reading them again.
 */
export class Intake {
  readonly #client: Queryable
  readonly #handOver: IntakeOptions['handOver']
  readonly #prepare: GroupCommit<NewTransaction, Answer>
  readonly #submit: GroupCommit<SubmitRequest, Answer>
  readonly #abort: GroupCommit<AbortRequest, Answer>
  readonly #register: GroupCommit<Registration, Answer>

  constructor(client: Queryable, options: IntakeOptions) {
    this.#client = client
    this.#handOver = options.handOver
    const group = <R extends TransactionKey>(write: (requests: readonly R[]) => Promise<Answers>) =>
      new GroupCommit<R, Answer>({ ...options, write, keyOf: ({ tenant, gid }) => `${tenant}\0${gid}` })
    this.#prepare = group((requests) => this.#settle(requests, decidePrepare, (open) => this.#insert(open)))
    this.#submit = group((requests) => this.#settle(requests, decideSubmit, (open) => this.#move(open)))
    this.#abort = group((requests) => this.#settle(requests, decideAbort, (open) => this.#giveUp(open)))
    this.#register = group((requests) => this.#settle(requests, decideRegister, (open) => this.#add(open)))
  }

  /** Writes a prepared transaction. The same content again is the same request again. */
  prepare(request: NewTransaction): Promise<Answer> {
    return this.#prepare.add(request)
  }

  /** Submits: the transaction runs from now on, whatever becomes of its client. */
  submit(request: SubmitRequest): Promise<Answer> {
    return this.#submit.add(request)
  }

  /** Gives up what was prepared. */
  abort(request: AbortRequest): Promise<Answer> {
    return this.#abort.add(request)
  }

  /** Writes down what a client is about to do, before it does it. */
  register(request: Registration): Promise<Answer> {
    return this.#register.add(request)
  }

  /**
   * Writes, and tells those that changed nothing how things stand. What they are told is read after their statement has
   * waited for whatever it lost to. If the table would let them go on from there (the other one has rolled back, or it
   * has just prepared what this one submits), they are written again.
   */
  async #settle<R extends TransactionKey>(
    requests: readonly R[],
    decideFor: (request: R, state: TransactionState | undefined) => Decision,
    write: (open: readonly Open<R>[]) => Promise<ReadonlyMap<R, Answer>>,
  ): Promise<Answers> {
    const answers = new Map<R, Answer>()
    let open = requests.map((request): Open<R> => ({ request, status: undefined }))
    for (let round = 1; round <= ROUNDS_MAX && open.length > 0; round += 1) {
      for (const [request, answer] of await write(open)) answers.set(request, answer)
      const lost = open.filter(({ request }) => !answers.has(request)).map(({ request }) => request)
      if (lost.length === 0) break
      const states = await selectTransactionStates(this.#client, lost)
      open = []
      for (const [index, request] of lost.entries()) {
        const state = states[index]
        const decision = decideFor(request, state)
        if (decision.kind === 'ok') open.push({ request, status: state?.status ?? 'none' })
        else answers.set(request, answerOf(decision, state))
      }
    }
    return requests.map((request) => answers.get(request))
  }

  async #insert(open: readonly Open<NewTransaction>[]): Promise<ReadonlyMap<NewTransaction, Answer>> {
    const written = await insertTransactions(
      this.#client,
      open.map(({ request }) => request),
    )
    return new Map(
      open.flatMap(({ request }, index) => {
        const one = written[index]
        return one === undefined ? [] : [[request, inserted(one, request)] as const]
      }),
    )
  }

  /** Submissions of what was prepared go by one statement, of what is not there by another; the first guess is by content. */
  async #move(open: readonly Open<SubmitRequest>[]): Promise<ReadonlyMap<SubmitRequest, Answer>> {
    const answers = new Map<SubmitRequest, Answer>()
    const isNew = ({ request, status }: Open<SubmitRequest>) =>
      (status === undefined || status === 'none') && decideSubmit(request, undefined).kind === 'ok'
    const fresh = new Map(
      open.flatMap((one) => (isNew(one) && one.request.content ? [[one.request.content, one.request] as const] : [])),
    )
    const remembered = open.flatMap(rememberedOf)
    const prepared = open.filter((one) => !isNew(one) && rememberedOf(one).length === 0).map(({ request }) => request)
    const [insertions, moves, handed] = await Promise.all([
      fresh.size === 0 ? undefined : this.#insert([...fresh.keys()].map((request) => ({ request, status: 'none' }))),
      prepared.length === 0 ? undefined : submitPrepared(this.#client, prepared),
      Promise.all(remembered.map(({ message }) => this.#handOver(message))),
    ])
    for (const [index, { request, message }] of remembered.entries()) {
      // What was in its way (it is decided, or paused) is for the next round to say.
      if (handed[index] === 'nothing') continue
      answers.set(request, { decision: { kind: 'ok' }, status: 'submitted', id: message.id, handedOver: true })
    }
    for (const [content, answer] of insertions ?? []) {
      const request = fresh.get(content)
      if (request !== undefined) answers.set(request, answer)
    }
    for (const request of prepared) {
      const claimed = moves?.get(request)
      if (claimed === undefined) continue
      answers.set(request, begunAnswer(claimed))
    }
    return answers
  }

  async #giveUp(open: readonly Open<AbortRequest>[]): Promise<ReadonlyMap<AbortRequest, Answer>> {
    const moves = new Map(
      open.map(({ request }): [AbortRequest, Move] => {
        const { tenant, gid, reason } = request
        return [request, { tenant, gid, event: 'abort', rollbackReason: reason }]
      }),
    )
    const moved = await moveTransactions(this.#client, [...moves.values()], ABORT_RULES)
    const answers = new Map<AbortRequest, Answer>()
    for (const [request, move] of moves) {
      const made = moved.get(move)
      if (made === undefined) continue
      answers.set(request, {
        decision: { kind: 'ok' },
        status: made.status,
        id: made.id,
        rollbackReason: request.reason,
      })
    }
    return answers
  }

  async #add(open: readonly Open<Registration>[]): Promise<ReadonlyMap<Registration, Answer>> {
    const registered = await registerBranches(
      this.#client,
      open.map(({ request }) => request),
    )
    return new Map(
      [...registered].map(([request, taken]) => [
        request,
        { decision: { kind: 'ok' }, status: 'prepared', registered: taken },
      ]),
    )
  }
}

/** A submission that is remembered; none after it has been looked at in the database. */
function rememberedOf({ request, status }: Open<SubmitRequest>) {
  const { remembered: message } = request
  return status !== undefined || message === undefined ? [] : [{ message, request }]
}

function begunAnswer(claimed: ClaimedTransaction): Answer {
  const taken = claimed.claimed ? { claimed } : {}
  return { decision: { kind: 'ok' }, status: 'submitted', id: claimed.id, ...taken }
}

/** Undefined: the request could not be settled, and is sent again by its client. */
type Answers = readonly (Answer | undefined)[]

interface Open<R> {
  readonly request: R
  /** As it was read after the last attempt; undefined: not read yet. */
  readonly status: Status | 'none' | undefined
}

// A request can lose to several others one after the other, but each of them takes the transaction further down its
// short life. After more rounds than there are states something is wrong that no round more will mend.
const ROUNDS_MAX = 6

function decidePrepare({ mode, digest }: NewTransaction, state: TransactionState | undefined): Decision {
  return decide({ kind: 'prepare', mode, digest }, subjectOf(state))
}

function decideSubmit({ mode, digest, content }: SubmitRequest, state: TransactionState | undefined): Decision {
  if (state !== undefined) {
    const said = digest !== undefined && { digest }
    return decide({ kind: 'submit', mode: mode ?? state.mode, ...said }, subjectOf(state))
  }
  if (content === undefined) return { kind: 'not-found' }
  return decide(
    { kind: 'submit', mode: content.mode, digest: content.digest },
    { status: 'none', runBy: content.runBy },
  )
}

function decideAbort({ reason }: AbortRequest, state: TransactionState | undefined): Decision {
  return decide({ kind: 'abort', reason }, subjectOf(state))
}

function decideRegister({ mode }: Registration, state: TransactionState | undefined): Decision {
  if (state !== undefined && state.mode !== mode) return { kind: 'conflict', code: 'other-mode' }
  return decide({ kind: 'register' }, subjectOf(state))
}

const MODES: readonly Mode[] = ['msg', 'saga', 'tcc', 'xa', 'workflow']
const STATUSES: readonly Status[] = ['prepared', 'submitted', 'aborting', 'succeed', 'failed']

/** The lines of the table of events that an event moves by, as `moveTransactions` takes them. */
function rulesOf(name: string, event: TransactionEvent): readonly MoveRule[] {
  return MODES.flatMap((mode) =>
    STATUSES.flatMap((from): MoveRule[] => {
      const decision = decide(event, { status: from, mode, mayTurnBack: false })
      if (decision.kind !== 'ok' || decision.transition === undefined) return []
      return [{ event: name, mode, from, to: decision.transition.to }]
    }),
  )
}

const ABORT_RULES = rulesOf('abort', { kind: 'abort', reason: '' })

function subjectOf(state: TransactionState | undefined): Subject {
  if (state === undefined) return { status: 'none' }
  const { status, mode, runBy, digest, pausedReason } = state
  // Nothing that comes in here depends on whether it can still be undone.
  return { status, mode, runBy, digest, paused: pausedReason !== null, mayTurnBack: false }
}

function answerOf(decision: Decision, state: TransactionState | undefined): Answer {
  if (state === undefined) return { decision, status: undefined }
  const { id, status, result, rollbackReason } = state
  return { decision, status, id, result, rollbackReason }
}

function inserted({ id, claimed }: InsertedTransaction, { status }: NewTransaction): Answer {
  return { decision: { kind: 'ok' }, status, id, begun: claimed }
}
