import {
  answerOf,
  type Gid,
  type OperationAnswer,
  PostcommitError,
  type PrepareOperation,
  type QueryOperation,
  type RegisterBranchOperation,
  type SubmitOperation,
  type TransactionOperation,
} from 'postcommit/protocol'
import type { Queryable } from '../../store/queryable.ts'
import { selectTransactionStates } from '../../store/transaction/select-transaction-states.ts'
import type { Coordinator } from '../run/coordinator.ts'
import type { Wait } from '../run/waiters.ts'
import { type HandInDefaults, handIn, operationsOf } from './definition-rows.ts'
import type { Answer, Intake } from './intake.ts'
import { PreparedHere } from './recently-prepared.ts'
import { submitAndBegin } from './submit-and-begin.ts'
import type { TargetProblem, TargetRules } from './target-rules.ts'

/** What operations are carried out with. */
export interface OperationsOptions {
  readonly client: Queryable
  readonly intake: Intake
  readonly coordinator: Coordinator
  readonly defaults: HandInDefaults
  readonly targets: TargetRules
}

/** Carries out what clients ask of transactions, and answers in the words of the protocol. */
export class Operations {
  readonly #options: OperationsOptions
  readonly #preparedHere = new PreparedHere()

  constructor(options: OperationsOptions) {
    this.#options = options
  }

  /**
   * Carries out one operation of a tenant. What is not possible is an answer.
   * @throws what the database throws; it may have been recorded, and can be sent again.
   */
  async perform(tenant: string, operation: TransactionOperation): Promise<OperationAnswer> {
    switch (operation.do) {
      case 'prepare':
        return await this.#prepare(tenant, operation)
      case 'submit':
        return await this.#submit(tenant, operation)
      case 'abort': {
        const { gid, reason = '' } = operation
        this.#preparedHere.take({ tenant, gid })
        const answer = await this.#options.intake.abort({ tenant, gid, reason })
        return this.#told(tenant, gid, answer)
      }
      case 'registerBranch':
        return await this.#register(tenant, operation)
      case 'query':
        return await this.#query(tenant, operation)
    }
  }

  async #prepare(tenant: string, { gid, transaction }: PrepareOperation): Promise<OperationAnswer> {
    const { intake, defaults, targets } = this.#options
    const problem = targets.problemOf(transaction)
    if (problem !== undefined) return notAllowed(gid, problem)
    const content = handIn({ tenant, gid }, transaction, 'prepared', defaults)
    const answer = await intake.prepare(content)
    if (answer.decision.kind === 'ok' && answer.id !== undefined && content.content !== undefined) {
      this.#preparedHere.keep({ tenant, gid }, { id: answer.id, isKeyed: content.key !== undefined })
    }
    return answerFor(gid, answer)
  }

  async #submit(tenant: string, { gid, transaction, waitMs = 0 }: SubmitOperation): Promise<OperationAnswer> {
    const { coordinator, defaults, targets } = this.#options
    const problem = transaction && targets.problemOf(transaction)
    if (problem !== undefined) return notAllowed(gid, problem)
    // Before it is handed in, or its end could come before anybody waits for it.
    const wait = waitMs > 0 ? coordinator.wait({ tenant, gid }, waitMs) : undefined
    const content = transaction && handIn({ tenant, gid }, transaction, 'submitted', defaults)
    const remembered = this.#preparedHere.take({ tenant, gid })
    const answer = await submitAndBegin(this.#options, {
      tenant,
      gid,
      mode: content?.mode,
      digest: content?.digest,
      dueInMs: 0,
      content,
      remembered: content === undefined ? remembered : undefined,
    }).catch((error: unknown) => {
      wait?.cancel()
      throw error
    })
    return await endOf(answerFor(gid, answer), wait)
  }

  async #register(
    tenant: string,
    { gid, mode, branch, ended = [] }: RegisterBranchOperation,
  ): Promise<OperationAnswer> {
    const { intake, targets } = this.#options
    const problem = targets.problemOfBranch(branch)
    if (problem !== undefined) return notAllowed(gid, problem)
    const request = { tenant, gid, mode, operations: operationsOf(branch), ended }
    return answerFor(gid, await intake.register(request))
  }

  async #query(tenant: string, { gid, waitMs = 0 }: QueryOperation): Promise<OperationAnswer> {
    const { client, coordinator } = this.#options
    const wait = waitMs > 0 ? coordinator.wait({ tenant, gid }, waitMs) : undefined
    const [state] = await selectTransactionStates(client, [{ tenant, gid }]).catch((error: unknown) => {
      wait?.cancel()
      throw error
    })
    if (state !== undefined) return await endOf(answerOf(gid, state.status, state.rollbackReason ?? undefined), wait)
    wait?.cancel()
    return refusal(gid, new PostcommitError('POSTCOMMIT_UNKNOWN_TRANSACTION', { gid }))
  }

  /** A transaction that was given up may have been the head of a line, and somebody may wait for its end. */
  #told(tenant: string, gid: Gid, answer: Answer): OperationAnswer {
    this.#options.coordinator.decided({ tenant, gid }, answer)
    return answerFor(gid, answer)
  }
}

/** What there is to say at the end, or when the time for it is up. */
async function endOf(now: OperationAnswer, wait: Wait | undefined): Promise<OperationAnswer> {
  if (now.outcome !== 'pending') wait?.cancel()
  if (wait === undefined || now.outcome !== 'pending') return now
  const end = await wait.ended
  return end === undefined ? now : answerOf(now.gid, end.status, end.rollbackReason)
}

function answerFor(gid: Gid, { decision, status, rollbackReason }: Answer): OperationAnswer {
  switch (decision.kind) {
    case 'ok':
    case 'duplicate':
    case 'nothing':
    case 'alarm':
      if (status === undefined) break
      return answerOf(gid, status, rollbackReason ?? undefined)
    case 'conflict':
      if (status === undefined) break
      switch (decision.code) {
        case 'other-content':
        case 'other-mode':
          return refusal(gid, new PostcommitError('POSTCOMMIT_GID_CONFLICT', { gid }))
        case 'decided':
        case 'failed':
        case 'cannot-turn-back':
        case 'not-prepared':
          return { ...refusal(gid, new PostcommitError('POSTCOMMIT_TRANSACTION_DECIDED', { gid, status })), status }
      }
      break
    case 'not-found':
      break
  }
  return refusal(gid, new PostcommitError('POSTCOMMIT_UNKNOWN_TRANSACTION', { gid }))
}

function notAllowed(gid: Gid, { target, reason }: TargetProblem) {
  return refusal(gid, new PostcommitError('POSTCOMMIT_TARGET_NOT_ALLOWED', { target, reason }))
}

function refusal(gid: Gid, { code, message, retryable }: PostcommitError) {
  return { outcome: 'refused', gid, code, message, retryable } as const
}
