/** When the work of a branch began and ended, counted in its transaction. */
export interface Span {
  readonly branch: string
  readonly startSeq: number
  /** Absent: not known to have ended, so nothing is known to have happened after it. */
  readonly endSeq?: number
}

/** How much of the order of the work its undoing has to keep. */
export type UndoOrder = 'happened-before' | 'reverse' | 'nested' | 'any'

/** Whether `later` has to be undone before `earlier` is. */
export type MustPrecede = (later: Span, earlier: Span) => boolean

/**
 * The orders of phase two.
 *
 * `happened-before`: reverse of Lamport's relation. Every branch draws a number from its transaction when it starts and
 * another when its end is recorded, so what started after something ended may have depended on it; everything else ran
 * side by side and may be undone side by side. A branch that was started inside another (`01` and `0101`, or `order`
 * and `order.pay`) is undone before it: the rule of the saga paper for parallel sagas, that all compensations of a
 * child come before those of what its parent did before the fork.
 *
 * `reverse`: by falling start alone, one by one. The order of seadt, a linear extension of the first; the one to take
 * where ends are not recorded in time.
 *
 * All of them agree with falling start numbers, so they have no cycles and something can always be undone.
 *
 * @see "Sagas" (Garcia-Molina and Salem, 1987), section 6
 * @see "Time, Clocks, and the Ordering of Events in a Distributed System" (Lamport, 1978)
 */
export const UNDO_ORDERS: { readonly [O in UndoOrder]: MustPrecede } = {
  'happened-before': (later, earlier) =>
    startsAfter(later, earlier) && (endedBefore(earlier, later) || isAncestor(earlier.branch, later.branch)),
  reverse: startsAfter,
  nested: (later, earlier) => startsAfter(later, earlier) && isAncestor(earlier.branch, later.branch),
  any: () => false,
}

function startsAfter(later: Span, earlier: Span): boolean {
  if (later.startSeq !== earlier.startSeq) return later.startSeq > earlier.startSeq
  return later.branch > earlier.branch
}

function endedBefore(earlier: Span, later: Span): boolean {
  return earlier.endSeq !== undefined && earlier.endSeq < later.startSeq
}

const TWO_DIGIT_GROUPS = /^(\d\d)+$/

/** Whether `inner` was started inside `outer`. Not a mere prefix: `order` is not the parent of `orders`. */
export function isAncestor(outer: string, inner: string): boolean {
  if (inner.startsWith(`${outer}.`)) return true
  return (
    inner.length > outer.length &&
    inner.startsWith(outer) &&
    TWO_DIGIT_GROUPS.test(outer) &&
    TWO_DIGIT_GROUPS.test(inner)
  )
}
