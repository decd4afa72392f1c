import type { Answer, Intake } from '../../coordinator/intake/intake.ts'
import { submitAndBegin } from '../../coordinator/intake/submit-and-begin.ts'
import type { Coordinator } from '../../coordinator/run/coordinator.ts'
import type { Ending } from '../../coordinator/run/waiters.ts'
import { decide } from '../../engine/transaction/decide.ts'
import { isFinal, type Mode, type Status } from '../../engine/transaction/transaction.ts'
import type { Queryable } from '../../store/queryable.ts'
import { selectTopics } from '../../store/topic/select-topics.ts'
import { expediteTransaction, expediteTransactions } from '../../store/transaction/expedite-transactions.ts'
import type { NewTransaction } from '../../store/transaction/insert-transactions.ts'
import { type MoveRule, moveTransactions } from '../../store/transaction/move-transactions.ts'
import { selectTransaction } from '../../store/transaction/select-transaction.ts'
import { selectTransactionStates, type TransactionState } from '../../store/transaction/select-transaction-states.ts'
import { DtmError, notServed, unknownGid } from './dtm-error.ts'
import { frozenOperations, type HandInRules, handInTrans, topicsOf } from './hand-in-trans.ts'
import type { TransRequest } from './trans-request.ts'

/** What DTM's operations are carried out with. */
export interface DtmTransactionsOptions extends HandInRules {
  readonly client: Queryable
  readonly intake: Intake
  readonly coordinator: Coordinator
}

/** Nothing to say but that it is done. */
export type Done = undefined

/** Who is named in the story of what a client of DTM did as an operator. */
const ACTOR = 'a client of DTM'
const ROUND_MS = { least: 3000, more: 2000 }
const RESULT = 'wait result not return success: '
/** As DTM spells it. */
const UNKNOWN_RESULT = `your http/grpc result should be specified as in:
http://d.dtm.pub/practice/arch.html#proto
unkown result will be retried: `

/** DTM's operations on global transactions, with its answers and texts. What is not possible is thrown as DtmError. */
export class DtmTransactions {
  readonly #options: DtmTransactionsOptions

  constructor(options: DtmTransactionsOptions) {
    this.#options = options
  }

  /** Announces a transaction. Repeated while it is not decided, it changes nothing. */
  async prepare(request: TransRequest): Promise<Done> {
    const content = await this.#content(request, 'prepared')
    const { decision, status } = await this.#options.intake.prepare(content)
    if (decision.kind === 'ok' || decision.kind === 'duplicate') return undefined
    if (status === 'prepared' && !this.#options.strict) return undefined
    throw notPossible(request.gid, decision, status, 'prepare')
  }

  /** Decides that a transaction goes forward, and begins it. */
  async submit(request: TransRequest): Promise<Done> {
    const { tenant, strict, coordinator, client } = this.#options
    const { gid, steps, options } = request
    const content = await this.#content(request, 'submitted')
    const waitMs = Math.max(ROUND_MS.least, options.requestTimeout * 1000) + ROUND_MS.more
    // Before it is handed in, or its end could come before anybody waits for it.
    const wait = options.waitResult ? coordinator.wait({ tenant, gid }, waitMs, { round: true }) : undefined
    const { decision, status } = await submitAndBegin(this.#options, {
      tenant,
      gid,
      mode: content.mode,
      // What was prepared is submitted as it was prepared; who says what that was is taken at his word.
      digest: strict && steps.length > 0 ? content.digest : undefined,
      options: steps.length > 0 ? content.options : undefined,
      customData: content.customData,
      deadlineInMs: content.deadlineInMs,
      dueInMs: 0,
      content,
    }).catch((error: unknown) => {
      wait?.cancel()
      throw error
    })
    if (decision.kind === 'duplicate' && status === 'submitted') {
      // At DTM it is carried out again at once, and that includes what has been done; here only what has not.
      await expediteTransaction(client, { tenant, gid }, { actor: ACTOR, reason: 'submitted again' })
      coordinator.wake()
    } else if (decision.kind !== 'ok' && (strict || status !== 'submitted')) {
      wait?.cancel()
      throw notPossible(gid, decision, status, 'sumbmit')
    }
    if (wait !== undefined) await this.#waitFor(gid, await wait.ended)
    return undefined
  }

  /** Decides that a transaction does not go forward. */
  async abort({ gid, transType, rollbackReason }: TransRequest): Promise<Done> {
    const { tenant, intake, coordinator } = this.#options
    const answer = await intake.abort({ tenant, gid, reason: rollbackReason })
    // Clients whose prepare was refused give up with this, and show its answer alone.
    if (answer.status === undefined) throw REGISTERING.includes(transType) ? notServed(transType) : unknownGid(gid)
    if (answer.decision.kind !== 'ok') {
      const { mode = 'msg' } = (await this.#state(gid)) ?? {}
      const said = `trans type: '${mode}' current status '${answer.status}', cannot abort. FAILURE`
      throw new DtmError(said, 'failure')
    }
    coordinator.decided({ tenant, gid }, answer)
    return undefined
  }

  /** Ends a transaction as failed, whatever it has done, without undoing any of it. */
  async forceStop(gid: string): Promise<Done> {
    const { tenant, client, coordinator } = this.#options
    for (let round = 1; round <= ROUNDS_MAX; round += 1) {
      const state = await this.#stateOf(gid)
      if (isFinal(state.status)) {
        throw new DtmError(`global transaction force stop error. status: ${state.status}. error: FAILURE`, 'failure')
      }
      const act = { actor: ACTOR, reason: 'forceStop', event: 'stopped' } as const
      const move = { tenant, gid, event: 'force-fail', act }
      const moved = (await moveTransactions(client, [move], FORCE_RULES)).get(move)
      if (moved === undefined) continue
      coordinator.decided({ tenant, gid }, { status: moved.status })
      return undefined
    }
    throw new Error('the transaction kept changing while it was stopped; try again')
  }

  /** Makes one transaction due now. */
  async resetNextCronTime(gid: string): Promise<Done> {
    const { tenant, client, coordinator } = this.#options
    await this.#stateOf(gid)
    await expediteTransaction(client, { tenant, gid }, { actor: ACTOR, reason: 'resetNextCronTime' })
    coordinator.wake()
    return undefined
  }

  /** Makes those due now that would wait for longer than `timeout` seconds. */
  async resetCronTime(timeout: number, limit: number): Promise<object> {
    const { tenant, client, coordinator } = this.#options
    const { count, hasRemaining } = await expediteTransactions(client, { tenant, dueAfterMs: timeout * 1000, limit })
    coordinator.wake()
    return { has_remaining: hasRemaining, succeed_count: count }
  }

  /** Registers a branch. Those modes that do are not served yet, so there is never a transaction to register it with. */
  async registerBranch(fields: Readonly<Record<string, string>>): Promise<Done> {
    const { gid = '', trans_type: mode = '' } = fields
    if (!REGISTERING.includes(mode)) throw new DtmError(`unknow trans type: ${mode}`)
    throw new DtmError(`no trans with gid: ${gid} status: prepared found FAILURE`, 'failure')
  }

  async #content(request: TransRequest, status: 'prepared' | 'submitted'): Promise<NewTransaction> {
    const { client, tenant, strict } = this.#options
    const content = handInTrans(request, status, this.#options)
    const names = [...new Set(topicsOf(request))]
    if (names.length === 0) return content
    const topics = await selectTopics(client, tenant, { names, limit: names.length })
    const targetsOf = new Map(topics.map(({ name, targets }) => [name, targets.map(({ target }) => target)]))
    if (names.some((name) => (targetsOf.get(name)?.length ?? 0) === 0)) throw new DtmError('topic not found')
    return strict ? content : frozenOperations(content, targetsOf)
  }

  /** DTM answers 409 to who waits for what is not finished either; a client could take that for a failure. */
  async #waitFor(gid: string, ending: Ending | undefined): Promise<void> {
    const { status, rollbackReason } = ending ?? (await this.#stateOf(gid))
    if (status === 'succeed') return
    if (status === 'failed' || status === 'aborting') {
      const reason = rollbackReason?.replace(/ FAILURE$/, '')
      throw new DtmError(reason ? `${reason} FAILURE` : `${RESULT}FAILURE`, 'failure')
    }
    if (this.#options.strict) throw new DtmError(`${RESULT}ONGOING`, 'ongoing')
    throw (await this.#troubleOf(gid)) ?? new DtmError(`${RESULT}FAILURE`, 'failure')
  }

  /** What DTM says of a message whose branch has not succeeded: the error of it, 409 only if it has refused. */
  async #troubleOf(gid: string): Promise<DtmError | undefined> {
    const { client, tenant } = this.#options
    const story = await selectTransaction(client, { tenant, gid })
    if (story?.mode !== 'msg') return undefined
    const { lastError } = story.branches.find((branch) => branch.status === 'prepared' && branch.lastError) ?? {}
    if (!lastError) return undefined
    return new DtmError(UNKNOWN_RESULT + lastError, lastError.endsWith(' FAILURE') ? 'failure' : 'other')
  }

  async #stateOf(gid: string): Promise<TransactionState> {
    const state = await this.#state(gid)
    if (state === undefined) throw unknownGid(gid)
    return state
  }

  async #state(gid: string): Promise<TransactionState | undefined> {
    const { client, tenant } = this.#options
    const [state] = await selectTransactionStates(client, [{ tenant, gid }])
    return state
  }
}

const ROUNDS_MAX = 6

/** The types whose branches are registered by their clients: none of them is served yet. */
const REGISTERING = ['tcc', 'xa', 'workflow']

const MODES: readonly Mode[] = ['msg', 'saga', 'tcc', 'xa', 'workflow']
const STATUSES: readonly Status[] = ['prepared', 'submitted', 'aborting']

/** What the table of events says about an operator who lets a transaction fail. */
const FORCE_RULES = MODES.flatMap((mode) =>
  STATUSES.flatMap((from): MoveRule[] => {
    const event = { kind: 'operator', act: 'force-fail', reason: 'forceStop' } as const
    const decision = decide(event, { status: from, mode, mayTurnBack: false })
    if (decision.kind !== 'ok' || decision.transition === undefined) return []
    return [{ event: 'force-fail', mode, from, to: decision.transition.to }]
  }),
)

/** `verb`: as DTM spells it, which for submit is wrong, and compared by clients. */
function notPossible(gid: string, decision: Answer['decision'], status: Status | undefined, verb: string): DtmError {
  const isOther = decision.kind === 'conflict' && (decision.code === 'other-content' || decision.code === 'other-mode')
  if (isOther) return new DtmError(`gid '${gid}' stands for something else, cannot ${verb}. FAILURE`, 'failure')
  if (status === undefined) return unknownGid(gid)
  return new DtmError(`current status '${status}', cannot ${verb}. FAILURE`, 'failure')
}
