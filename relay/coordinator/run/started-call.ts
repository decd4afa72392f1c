import type { Op } from '../../engine/transaction/op.ts'
import type { ClaimedTransaction, OperationRow } from '../../store/transaction/transaction-row.ts'
import type { Route } from '../stored/stored-target.ts'

/** A call that is to be made. */
export interface StartedCall {
  readonly row: ClaimedTransaction
  readonly operation: OperationRow
  readonly op: Op
  readonly route: Route
  readonly limitMs: number
}
