/** How the branches of a global transaction are brought to one outcome. */
export const TransactionMode = {
  /** Actions that follow from a commit; they are repeated until they succeed. */
  Msg: 'msg',
  /** Actions with compensations. */
  Saga: 'saga',
  /** Try, then confirm or cancel. */
  Tcc: 'tcc',
  /** Prepared transactions of databases. */
  Xa: 'xa',
  /** A function whose steps are recorded. */
  Workflow: 'workflow',
} as const

/** A mode of {@link TransactionMode}. */
export type TransactionMode = (typeof TransactionMode)[keyof typeof TransactionMode]

/** The states of a global transaction; they are DTM's, so that its tools keep their meaning. */
export const TransactionStatus = {
  /** Announced; what becomes of it is not decided. */
  Prepared: 'prepared',
  /** Decided: it goes forward. */
  Submitted: 'submitted',
  /** Decided: it is being undone. */
  Aborting: 'aborting',
  /** Ended: everything has taken effect. */
  Succeed: 'succeed',
  /** Ended: nothing is left of it. */
  Failed: 'failed',
} as const

/** A state of {@link TransactionStatus}. */
export type TransactionStatus = (typeof TransactionStatus)[keyof typeof TransactionStatus]

/** What a branch can be asked to do. */
export const BranchOp = {
  Action: 'action',
  Compensate: 'compensate',
  Try: 'try',
  Confirm: 'confirm',
  Cancel: 'cancel',
  Commit: 'commit',
  Rollback: 'rollback',
} as const

/** An op of {@link BranchOp}. */
export type BranchOp = (typeof BranchOp)[keyof typeof BranchOp]
