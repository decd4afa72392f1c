import { withoutAbsent } from '../protocol/read-json.ts'
import type { BranchDefinition, TransactionDefinition, TransactionOptions } from '../protocol/transaction-definition.ts'
import { BranchOp, TransactionMode } from '../protocol/transaction-state.ts'
import { type Address, targetOf } from './address.ts'
import { checkedDefinition, invalidTransaction } from './checked-definition.ts'
import { inOrder, readSource, START, stepProblems } from './seadt-steps.ts'
import { stepContent } from './step-content.ts'

/** What {@link readSeadt} takes. */
export interface SeadtOptions {
  /** Where the methods are: the name of one destination for all of them, or the address of each. */
  readonly methods: string | ((method: string) => Address)
  /** What a sub-transaction is sent: a JSON value, or bytes as they are. */
  readonly data?: (subTxId: string) => unknown
  readonly options?: TransactionOptions
}

/**
 * Reads a saga in the JSON form of seadt:
 * `{ "seadt_name", "tx_seq": [{ "sub_tx_id", "commit_method", "callback_method", "pre_step", "next_step" }] }`.
 *
 * `pre_step` and `next_step` name another sub-transaction, `Start` or `End`, or a list of several where the saga forks
 * and joins. Both sides of every connection have to say the same. A sub-transaction without `callback_method` cannot
 * be undone.
 *
 * @param source - JSON text, or what it was parsed to
 * @throws `POSTCOMMIT_INVALID_TRANSACTION` listing every problem with its code: `INVALID_VALUE`, `RESERVED_NAME`,
 * `DUPLICATE_STEP`, `NO_START`, `NO_END`, `UNKNOWN_STEP`, `PRE_NEXT_MISMATCH`, `CYCLE`, and those of `saga()`.
 * @example
 * ```ts
 * const trade = readSeadt(await readFile('biz-trans.json', 'utf8'), { methods: 'trade', data: () => request })
 * await relay.submitSaga(trade, { gid: requestId })
 * ```
 */
export function readSeadt(source: unknown, { methods, data, options }: SeadtOptions): TransactionDefinition {
  const { name, steps, problems: unreadable } = readSource(source)
  // A step that cannot be read is missing from the others' point of view; that would only be said twice.
  const problems = unreadable.length > 0 ? unreadable : stepProblems(steps)
  if (problems.length > 0) throw invalidTransaction('seadt definition', problems)
  const address = typeof methods === 'string' ? (path: string): Address => ({ destination: methods, path }) : methods
  const branches = inOrder(steps).map((step): BranchDefinition => {
    const undo = step.callback === undefined ? {} : { [BranchOp.Compensate]: targetOf(address(step.callback)) }
    return withoutAbsent<BranchDefinition>({
      branch: step.id,
      ops: { [BranchOp.Action]: targetOf(address(step.commit)), ...undo },
      ...stepContent(data?.(step.id), step.id),
      after: step.pre.filter((before) => before !== START),
    })
  })
  return checkedDefinition(
    withoutAbsent<TransactionDefinition>({ mode: TransactionMode.Saga, name, branches, options }),
  )
}
