import { type BranchCall, type BranchRequest, parseBranchCall, readBranchCall } from '../protocol/branch-call.ts'
import { PostcommitError } from '../protocol/errors.ts'
import { DeliveryRefused } from '../protocol/refusal.ts'
import { CommitFailure } from '../store/database.ts'
import { type BarrierDatabase, type BarrierTransactionOf, openBarrierDatabase, rowsInside } from './barrier-database.ts'
import { type BarrierCallOptions, type BarrierOptions, checkOptions, invalidOption } from './barrier-options.ts'
import { type BarrierRows, inProgress, type RowKey } from './barrier-rows.ts'
import { adjustBranch } from './redis/adjust-branch.ts'
import type { Adjusted, Adjustment } from './redis/adjustment.ts'
import type { RedisStore } from './redis/redis-store.ts'
import { type BarrierResult, judge, REFUSED, rowsOf, type Skipped, undoneBy } from './truth-table.ts'

/** The barrier of one call of a branch: its effect happens once, and nothing is undone that was not done. */
export interface Barrier extends BranchCall {
  /**
   * Runs `work` inside a transaction that the caller opened and will commit, unless the barrier says that there is
   * nothing to do. Call it before anything else in the transaction. If it rejects, roll back: the rows that it may have
   * written stand for an effect that has not happened.
   *
   * @param tx - a Kysely transaction, a pg client inside `begin`, or a mysql2 connection inside a transaction
   * @throws `POSTCOMMIT_BRANCH_IN_PROGRESS` (answer 425), `POSTCOMMIT_NOT_IN_TRANSACTION`, `POSTCOMMIT_TX_ABORTED`,
   * `POSTCOMMIT_INVALID_OPTIONS`; what `work` throws is rethrown as it is.
   */
  run<T>(tx: object, work: () => Promise<T> | T, options?: BarrierOptions): Promise<BarrierResult<T>>
  /**
   * Opens a transaction, runs `work` in it unless there is nothing to do, and commits.
   *
   * Resolves: the effect is committed, now or before, or there is nothing to undo. Rejects: nothing is committed, except
   * with `POSTCOMMIT_BRANCH_COMMIT_UNKNOWN`. Only what `work` does through `tx` is part of it. On MySQL and MariaDB no
   * DDL: it commits what came before it.
   *
   * @throws `POSTCOMMIT_BRANCH_IN_PROGRESS` (answer 425), `POSTCOMMIT_BRANCH_COMMIT_UNKNOWN`,
   * `POSTCOMMIT_COMMIT_ROLLED_BACK`, `POSTCOMMIT_TX_ABORTED`, `POSTCOMMIT_TX_CONTROL`, `POSTCOMMIT_TX_ENDED`,
   * `POSTCOMMIT_SCHEMA_MISSING`, `POSTCOMMIT_INVALID_OPTIONS`; what `work` throws is rethrown as it is, after a rollback.
   * @example
   * ```ts
   * const barrier = barrierFrom(request)
   * await barrier.call(pool, (tx) => tx.query('update stock set left = left - 1 where sku = $1', [sku]))
   * ```
   */
  call<Db extends BarrierDatabase, T>(
    db: Db,
    work: (tx: BarrierTransactionOf<Db>) => Promise<T> | T,
    options?: BarrierCallOptions,
  ): Promise<BarrierResult<T>>
  /**
   * Adds to an amount in Redis, unless there is nothing to do: the key of the barrier is looked at first, then the
   * amount, in one script. An amount that is not enough changes nothing, and is the caller's to answer (409).
   *
   * @throws `POSTCOMMIT_INVALID_OPTIONS`, and what the client throws.
   */
  adjust(
    store: RedisStore,
    adjustment: Adjustment,
    options?: Pick<BarrierOptions, 'id'>,
  ): Promise<BarrierResult<Adjusted>>
}

/**
 * The barrier of the request that a handler has received, by the headers of this project's relay or by the query
 * parameters of DTM.
 *
 * @param request - a `Request`, a Node `IncomingMessage`, a delivery: whatever has `headers` and `url`
 * @throws `POSTCOMMIT_INVALID_BRANCH`, `POSTCOMMIT_INVALID_GID`.
 */
export function barrierFrom(request: BranchRequest): Barrier {
  return openBarrier(readBranchCall(request))
}

/**
 * The barrier of a branch that is known otherwise.
 * @throws `POSTCOMMIT_INVALID_BRANCH`, `POSTCOMMIT_INVALID_GID`.
 */
export function createBarrier(call: { readonly gid: string; readonly branch: string; readonly op: string }): Barrier {
  return openBarrier(parseBranchCall(call))
}

function openBarrier(branchCall: BranchCall): Barrier {
  const once = passedOnce()
  return {
    ...branchCall,
    async run<T>(tx: object, work: () => Promise<T> | T, options: BarrierOptions = {}) {
      const { id, waitMs } = checkOptions('run', options)
      return await pass(branchCall, id, await rowsInside(tx, waitMs), work)
    },
    async call<Db extends BarrierDatabase, T>(
      db: Db,
      work: (tx: BarrierTransactionOf<Db>) => Promise<T> | T,
      options: BarrierCallOptions = {},
    ) {
      const { id, waitMs } = checkOptions('call', options)
      const { isolationLevel, pivot = false } = options
      const database = openBarrierDatabase(db, 'call')
      const commit = <R>(run: (tx: BarrierTransactionOf<Db>, rows: BarrierRows) => Promise<R>) =>
        database
          .transaction(run, { waitMs, isolationLevel })
          .catch((error: unknown) => rethrowCommitFailure(branchCall, error))
      return await once('call', id, async () => {
        try {
          return await commit((tx, rows) => pass(branchCall, id, rows, () => work(tx)))
        } catch (error) {
          if (!pivot || !(error instanceof DeliveryRefused)) throw error
          const skipped = await commit((_, rows) => refuseForGood(branchCall, id, rows))
          if (skipped === undefined) throw error
          return { skipped }
        }
      })
    },
    async adjust(store, adjustment, options = {}) {
      const { id } = checkOptions('adjust', options)
      return await once('adjust', id, () => adjustBranch(store, branchCall, id, adjustment))
    },
  }
}

/** Adds the rows, and runs the work if they say so. */
async function pass<T>(
  { gid, branch, op }: BranchCall,
  id: string,
  rows: BarrierRows,
  work: () => Promise<T> | T,
): Promise<BarrierResult<T>> {
  const key = { gid, branch, id }
  const added = await rows.add(key, rowsOf(op), { reason: op, digest: undefined })
  const before = added.has(op) ? undefined : await rows.read(key, op)
  // The row that was in the way is gone: its transaction was rolled back in between.
  if (!added.has(op) && before === undefined) throw inProgress(key)
  if (before?.reason === REFUSED) throw refusedBefore(key)
  const skipped = judge(op, added, before?.reason)
  if (skipped !== undefined) return { skipped }
  const undone = undoneBy(op)
  if (undone !== undefined && (await rows.read(key, undone))?.reason === REFUSED) return { skipped: 'empty' }
  return { skipped: false, value: await work() }
}

/**
 * Writes down that the op was refused, unless another call of it has come to an end meanwhile; its rows, and what it
 * did, were rolled back.
 *
 * @returns why the refusal does not stand, or `undefined` if it does
 */
async function refuseForGood(
  { gid, branch, op }: BranchCall,
  id: string,
  rows: BarrierRows,
): Promise<Skipped | undefined> {
  const key = { gid, branch, id }
  const added = await rows.add(key, [op], { reason: REFUSED, digest: undefined })
  if (added.has(op)) return undefined
  const before = await rows.read(key, op)
  if (before === undefined) throw inProgress(key)
  return before.reason === REFUSED ? undefined : judge(op, added, before.reason)
}

function refusedBefore({ gid, branch }: RowKey): DeliveryRefused {
  return new DeliveryRefused(`branch ${branch} of ${gid} was refused before`)
}

/**
 * Two barriers of one handler under the same name would stand for each other: the second would be skipped as a
 * duplicate, and its effect would never happen. What failed may be tried again.
 */
function passedOnce() {
  const passed = new Set<string>()
  return async <T>(caller: string, id: string, work: () => Promise<T>): Promise<T> => {
    if (passed.has(id)) {
      throw invalidOption(caller, `this handler has passed barrier ${id} before; give each of several an id of its own`)
    }
    passed.add(id)
    try {
      return await work()
    } catch (error) {
      passed.delete(id)
      throw error
    }
  }
}

function rethrowCommitFailure({ gid, branch }: BranchCall, error: unknown): never {
  if (!(error instanceof CommitFailure)) throw error
  const { cause } = error
  if (error.rolledBack) throw new PostcommitError('POSTCOMMIT_COMMIT_ROLLED_BACK', { gid }, { gid, cause })
  throw new PostcommitError('POSTCOMMIT_BRANCH_COMMIT_UNKNOWN', { gid, branch }, { gid, cause })
}
