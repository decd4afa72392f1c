import type { BranchOp } from '../protocol/transaction-state.ts'

/**
 * Why the work was not run:
 *
 * - `duplicate`: the same op has taken effect before.
 * - `empty`: there is nothing to undo, what it would undo has never taken effect. From now on it never will.
 * - `late`: what would undo it came first.
 *
 * All three are answered like a success: there is nothing left to do.
 */
export type Skipped = 'duplicate' | 'empty' | 'late'

/** What became of the work: run now, or not run, and why. Answer 2xx in both cases. */
export type BarrierResult<T> =
  | { readonly skipped: false; readonly value: T }
  | { readonly skipped: Skipped; readonly value?: never }

/** What each op undoes; the others undo nothing. */
const UNDOES: Readonly<Partial<Record<BranchOp, BranchOp>>> = {
  compensate: 'action',
  rollback: 'action',
  cancel: 'try',
}

/**
 * The rows that an op writes, in this order, all with the op as their reason.
 *
 * One that undoes writes the row of what it undoes first: if that is new, the other has not been here, and finds its
 * door closed when it comes. Only inserts on a unique key can tell: a look first and a row later would let the two pass
 * each other.
 */
export function rowsOf(op: BranchOp): readonly string[] {
  const undone = UNDOES[op]
  return undone === undefined ? [op] : [undone, op]
}

/** The reason of a row that says: this was refused, and must never happen any more. */
export const REFUSED = 'refused'

/** What an op undoes, if it does. */
export function undoneBy(op: BranchOp): BranchOp | undefined {
  return UNDOES[op]
}

/**
 * What to do, by which rows were new.
 *
 * @param reason - who wrote the row of the op itself, if that was not new
 * @returns why not to run the work, or `undefined` to run it
 */
export function judge(op: BranchOp, added: ReadonlySet<string>, reason: string | undefined): Skipped | undefined {
  const undone = UNDOES[op]
  if (undone !== undefined && added.has(undone)) return 'empty'
  if (added.has(op)) return undefined
  return reason === op ? 'duplicate' : 'late'
}
