import { withoutAbsent } from '../protocol/read-json.ts'
import type { BranchDefinition, TransactionDefinition, TransactionOptions } from '../protocol/transaction-definition.ts'
import { BranchOp, TransactionMode } from '../protocol/transaction-state.ts'
import { type ActionAddress, type Address, targetOf } from './address.ts'
import { checkedDefinition } from './checked-definition.ts'
import { stepContent } from './step-content.ts'

/** What every step of a saga has. `Earlier` are the names that it can come after. */
export interface CommonStep<Earlier extends string> {
  /** Sent to `do` and to `undo` alike: a JSON value, or bytes as they are. */
  readonly data?: unknown
  /**
   * The steps that must have succeeded before. Default: the one before it, or nothing in a concurrent saga. `[]` waits
   * for nothing.
   */
  readonly after?: readonly Earlier[]
  readonly headers?: Readonly<Record<string, string>>
  /** Starts no sooner than this after its turn has come, milliseconds. */
  readonly delayMs?: number
}

/** A step that is undone if the saga fails; `retryOnly` if it never is what makes it fail. */
export interface UndoableStep<Earlier extends string> extends CommonStep<Earlier> {
  /** What it does. */
  readonly do: Address
  /** What takes it back. Called also when it is not known whether `do` took effect, or known that it did not. */
  readonly undo: Address
  readonly retryOnly?: boolean
  readonly pivot?: never
  readonly leavesNothing?: never
}

/**
 * The step on which the saga turns: it may fail, and once it has succeeded the saga only goes forward. Nothing undoes
 * it, so its refusal must hold for every other call of it, one that comes late included: `barrier.call(db, work, { pivot:
 * true })` sees to that.
 */
export interface PivotStep<Earlier extends string> extends CommonStep<Earlier> {
  /** What it does. */
  readonly do: Address
  readonly pivot: true
  readonly undo?: never
  readonly retryOnly?: never
  readonly leavesNothing?: never
}

/** A step that is repeated until it succeeds, and so needs no way back. */
export interface RetryOnlyStep<Earlier extends string> extends CommonStep<Earlier> {
  /** What it does, to one or to a topic: none of those who have subscribed may refuse. */
  readonly do: ActionAddress
  readonly retryOnly: true
  readonly undo?: never
  readonly pivot?: never
  readonly leavesNothing?: never
}

/** A step that changes nothing, such as a check: it may fail and needs no way back. */
export interface CheckStep<Earlier extends string> extends CommonStep<Earlier> {
  /** What it does, to one or to a topic. */
  readonly do: ActionAddress
  readonly leavesNothing: true
  readonly undo?: never
  readonly pivot?: never
  readonly retryOnly?: never
}

/** A step of a saga. It says how the saga gets past it: back, forward only, or with nothing to do. */
export type SagaStep<Earlier extends string> =
  | UndoableStep<Earlier>
  | PivotStep<Earlier>
  | RetryOnlyStep<Earlier>
  | CheckStep<Earlier>

/** A saga that is being written down. Each call gives a new one; nothing is sent by it. */
export interface SagaBuilder<Names extends string> {
  /**
   * Adds a step.
   *
   * @param name - names it within the saga, and in everything that is shown of it: 1 to 128 of `A-Z a-z 0-9 _ . -`
   * @throws `POSTCOMMIT_INVALID_PAYLOAD`, `POSTCOMMIT_PAYLOAD_TOO_LARGE`.
   */
  step<const Name extends string>(
    name: Name extends Names ? never : Name,
    step: SagaStep<Names>,
  ): SagaBuilder<Names | Name>
  /**
   * The saga as plain JSON, for `relay.submitSaga()`.
   *
   * Whatever fails, what took effect can be undone or will be completed: wherever a step cannot be undone, all others
   * have succeeded before it or are repeated until they do. A saga for which that does not hold is refused.
   *
   * @throws `POSTCOMMIT_INVALID_TRANSACTION` listing every problem with its code.
   */
  define(): TransactionDefinition
}

/**
 * Starts to write down a saga: steps in other services, each with what takes it back. Either all of them take effect,
 * or those that did are undone; there is no isolation in between.
 *
 * @param name - for people: what kind of saga it is
 * @example
 * ```ts
 * const order = saga('order')
 *   .step('order', { do: 'orders/create', undo: 'orders/revert', data: { id, sku } })
 *   .step('stock', { do: 'stock/deduct', undo: 'stock/return', data: { id, sku } })
 *   .step('mail', { do: 'mail/confirm', retryOnly: true, data: { id } })
 *   .define()
 * await relay.submitSaga(order, { gid: id })
 * ```
 */
export function saga(name?: string, options: TransactionOptions = {}): SagaBuilder<never> {
  return builder(name, options, [])
}

function builder<Names extends string>(
  name: string | undefined,
  options: TransactionOptions,
  branches: readonly BranchDefinition[],
): SagaBuilder<Names> {
  return {
    step(branch, step) {
      return builder(name, options, [...branches, defineStep(branch, step)])
    },
    define() {
      return checkedDefinition(
        withoutAbsent<TransactionDefinition>({
          mode: TransactionMode.Saga,
          name,
          branches,
          options: Object.keys(options).length === 0 ? undefined : options,
        }),
      )
    },
  }
}

function defineStep(branch: string, step: SagaStep<string>): BranchDefinition {
  const undo = step.undo === undefined ? {} : { [BranchOp.Compensate]: targetOf(step.undo) }
  return withoutAbsent<BranchDefinition>({
    branch,
    ops: { [BranchOp.Action]: targetOf(step.do), ...undo },
    ...stepContent(step.data, branch),
    headers: step.headers,
    after: step.after,
    retryOnly: step.retryOnly,
    leavesNothing: step.leavesNothing,
    delayMs: step.delayMs,
  })
}
