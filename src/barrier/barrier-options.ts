import { PostcommitError } from '../protocol/errors.ts'
import type { IsolationLevel } from '../store/database.ts'

/** How one barrier is passed. */
export interface BarrierOptions {
  /**
   * Names the barrier where a handler has several, for each place the same at every call: 1 to 64 of
   * `A-Z a-z 0-9 _ . -`, default `01`.
   */
  readonly id?: string
  /**
   * How long to wait for another transaction at the same place to end, milliseconds, default 2000. MariaDB waits whole
   * seconds; MySQL as long as `innodb_lock_wait_timeout` of its session says.
   */
  readonly waitMs?: number
}

/** How a transaction with a barrier in it is made. */
export interface BarrierCallOptions extends BarrierOptions {
  /**
   * The branch is the pivot of a saga. When `work` throws `DeliveryRefused`, that is written down, and every other call
   * of the branch is refused as well: the saga turns back on it, and no compensation would keep out a call that was only
   * late. Default false.
   */
  readonly pivot?: boolean
  /** Isolation of the transaction; the database's default otherwise. */
  readonly isolationLevel?: IsolationLevel
}

const ID = /^[A-Za-z0-9_.-]{1,64}$/
const WAIT_MS_MAX = 60_000

/** @throws `POSTCOMMIT_INVALID_OPTIONS` naming the option. */
export function checkOptions(caller: string, { id = '01', waitMs = 2000 }: BarrierOptions): Required<BarrierOptions> {
  if (!ID.test(id)) throw invalidOption(caller, `id ${JSON.stringify(id)} is not 1 to 64 of A-Z a-z 0-9 _ . -`)
  if (!Number.isInteger(waitMs) || waitMs < 1 || waitMs > WAIT_MS_MAX) {
    throw invalidOption(caller, `waitMs is ${waitMs}, not an integer from 1 to ${WAIT_MS_MAX}`)
  }
  return { id, waitMs }
}

/** An option that is not what it can be. */
export function invalidOption(caller: string, reason: string): PostcommitError {
  return new PostcommitError('POSTCOMMIT_INVALID_OPTIONS', { function: caller, reason })
}
