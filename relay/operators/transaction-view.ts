import { isFinal } from '../engine/transaction/transaction.ts'
import type { BranchStory } from '../store/transaction/branch-story.ts'
import type { ListedTransaction } from '../store/transaction/list-transactions.ts'
import type { BranchAttempt } from '../store/transaction/select-branch-attempts.ts'
import type { TransactionStory } from '../store/transaction/select-transaction.ts'

/** A transaction in a list, as it is shown. What services sent is not in it. */
export function listedView(transaction: ListedTransaction) {
  const { gid, tenant, mode, isUnsettled, inDoubt, asked, rollbackReason, pausedReason, leaseOwner } = transaction
  const { lastError, unreachableSince } = transaction
  const { dueAt, createdAt, updatedAt, finishedAt } = transaction
  // To those who look at it a message has not ended while something of it is on its way.
  const status = isUnsettled ? 'submitted' : transaction.status
  return {
    gid,
    tenant,
    mode,
    status,
    inDoubt,
    asked,
    lastError,
    unreachableSince,
    reason: rollbackReason,
    pausedReason,
    relay: leaseOwner,
    // What has ended is not due, whatever its row says.
    dueAt: isFinal(transaction.status) ? null : dueAt,
    createdAt,
    updatedAt,
    finishedAt: isUnsettled ? null : finishedAt,
  }
}

/** A transaction with what became of each call, as it is shown. Payloads are told by their length alone. */
export function storyView(story: TransactionStory, attempts: readonly BranchAttempt[]) {
  const { runBy, key, checkDestination, checkTarget, deadline, result, branches } = story
  return {
    ...listedView(story),
    runBy,
    key,
    backQuery: checkTarget === null ? null : { destination: checkDestination, target: checkTarget },
    deadline,
    result,
    branches: branches.map(branchView),
    attempts: attempts.map(attemptView),
  }
}

function branchView(branch: BranchStory) {
  const { op, status, target, after, recovery, calls, attempts, lastStatus, lastError, durationMs } = branch
  const { payload, body, createdAt, finishedAt } = branch
  return {
    branch: branch.branch,
    op,
    status,
    target,
    after,
    recovery,
    calls,
    attempts,
    lastStatus,
    lastError,
    durationMs,
    payloadBytes: body?.length ?? Buffer.byteLength(payload ?? ''),
    createdAt,
    finishedAt,
  }
}

function attemptView({ id: _, ...attempt }: BranchAttempt) {
  return attempt
}
