import type { OpStatus, Recovery } from '../../engine/transaction/op.ts'
import type { Mode, Status } from '../../engine/transaction/transaction.ts'

/** Who calls the actions of a transaction. */
export type RunBy = 'relay' | 'client'

/** By what callers name a transaction: unknown gids and those of another tenant are the same to them. */
export interface TransactionKey {
  readonly tenant: string
  readonly gid: string
}

/** A call that a transaction may need, as it was handed in. */
export interface OperationContent {
  readonly branch: string
  readonly op: string
  readonly target: string
  /** Exactly the text that is sent; `body` instead for bytes that are not text. Neither: an empty body. */
  readonly payload?: string | undefined
  readonly body?: Buffer | undefined
  readonly options?: string | undefined
  /** The branches that must be done before; undefined: by the rule of the mode. */
  readonly after?: readonly string[] | undefined
  /** For an op that its relay starts as soon as the row is written. */
  readonly startSeq?: number | undefined
  /** Until when the call that is begun with it is waited for. */
  readonly leaseMs?: number | undefined
  readonly recovery?: Recovery | undefined
}

/** In whose name a relay works on transactions, and for how long. */
export interface TransactionClaim {
  readonly relay: string
  readonly token: string
  readonly leaseMs: number
}

/** An op as it is stored. Times are Unix milliseconds of the database's clock, here as below. */
export interface OperationRow {
  readonly branch: string
  readonly op: string
  readonly place: number
  readonly status: OpStatus
  readonly target: string
  readonly payload: string | null
  readonly body: Buffer | null
  readonly options: string | null
  readonly after: readonly string[] | null
  readonly startSeq: number | null
  readonly endSeq: number | null
  readonly recovery: Recovery | null
  /** Calls begun. */
  readonly calls: number
  /** Calls that ended without a decision. */
  readonly attempts: number
  /** Until when a call that is under way is waited for; null: none is. */
  readonly leaseUntilMs: number | null
  /** Null: as soon as its turn comes. */
  readonly dueAtMs: number | null
}

/** A transaction that this relay works on until its claim runs out. */
export interface ClaimedTransaction extends TransactionKey {
  readonly id: string
  readonly mode: Mode
  readonly status: Status
  readonly runBy: RunBy
  readonly digest: string
  readonly dialect: string
  readonly protocol: string
  readonly checkDestination: string
  readonly checkTarget: string | null
  readonly options: string | null
  readonly customData: string | null
  readonly extData: string | null
  readonly rollbackReason: string | null
  readonly seq: number
  readonly opCount: number
  readonly asked: number
  /** False only after a submission that asked for no claim, or of a transaction that is paused. */
  readonly claimed: boolean
  readonly backoffMs: number | null
  readonly key: string | null
  /** The earliest unsettled message of its key, if that is another one. */
  readonly behind: string | null
  readonly createdAtMs: number
  readonly deadlineMs: number | null
  /** When this was read: what the other times are to be compared with. */
  readonly nowMs: number
  /** Messages for the outbox: they are handed over to it, and there are no ops. */
  readonly isForOutbox: boolean
  readonly operations: readonly OperationRow[]
}
